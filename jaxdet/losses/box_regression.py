"""Losses of box regression, per coordinate or per box, not reduced.

The classification losses are optax's: `sigmoid_binary_cross_entropy`, `sigmoid_focal_loss` and
`softmax_cross_entropy_with_integer_labels` are what upstream computes.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.ops import iou


def smooth_l1(pred: Float[Array, '...'], target: Float[Array, '...'], beta: float) -> Float[Array, '...']:
  """Squared below `beta`, linear above: 0.5 d^2 / beta or |d| - 0.5 beta (Girshick, 2015); with beta 0 it is |d|.

  That is optax's `huber_loss(delta=beta) / beta`, with the limit at 0.
  """
  distance = _abs(pred - target)
  if beta == 0:
    return distance
  return jnp.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta)


def iou_loss(pred: Float[Array, '... 4'], target: Float[Array, '... 4'], form: str = 'log') -> Float[Array, '...']:
  """-log(IoU) (Yu et al., 2016), or with form 'linear' 1 - IoU, or with 'square' 1 - IoU^2.

  As in mmdetection an IoU below 1e-6 counts as that much.
  """
  overlap = jnp.maximum(iou.iou(pred, target), 1e-6)
  if form == 'log':
    return -jnp.log(overlap)
  if form == 'linear':
    return 1 - overlap
  if form == 'square':
    return 1 - overlap**2
  raise ValueError(f"unknown form '{form}' of the IoU loss: choose 'log', 'linear' or 'square'")


def giou_loss(pred: Float[Array, '... 4'], target: Float[Array, '... 4']) -> Float[Array, '...']:
  """1 - generalized IoU of decoded boxes, in [0, 2)."""
  return 1 - iou.giou(pred, target)


def diou_loss(pred: Float[Array, '... 4'], target: Float[Array, '... 4']) -> Float[Array, '...']:
  """1 - distance IoU of decoded boxes, in [0, 2)."""
  return 1 - iou.diou(pred, target)


def ciou_loss(
  pred: Float[Array, '... 4'], target: Float[Array, '... 4'], aspect_above: float | None = None
) -> Float[Array, '...']:
  """1 - complete IoU of decoded boxes; `aspect_above` is None in Detectron2 and 0.5 in mmdetection."""
  return 1 - iou.ciou(pred, target, aspect_above=aspect_above)


def bounded_iou_loss(
  pred: Float[Array, '... 4'], target: Float[Array, '... 4'], beta: float = 0.2, eps: float = 1e-3
) -> Float[Array, '... 4']:
  """Bounds on what shift and scale alone cost in IoU, through smooth L1 (Tychsen-Smith and Petersson, 2018).

  Per box (dx, dy, dw, dh); `eps` in pixels keeps the quotients finite.
  """
  pred_sides, target_sides = pred[..., 2:] - pred[..., :2], target[..., 2:] - target[..., :2]
  shift = _abs(target[..., :2] + target[..., 2:] - pred[..., :2] - pred[..., 2:])
  by_shift = jnp.maximum((target_sides - shift) / (target_sides + shift + eps), 0)
  by_scale = jnp.minimum(target_sides / (pred_sides + eps), pred_sides / (target_sides + eps))
  return smooth_l1(1 - jnp.concatenate([by_shift, by_scale], -1), jnp.zeros((4,)), beta)


def _abs(x: Float[Array, '...']) -> Float[Array, '...']:
  """|x| with gradient 0 at 0, as upstream has it; that of jnp.abs is 1."""
  return x * jnp.sign(x)
