"""Losses of box regression: the config's choice, reduced, and each loss per coordinate or per box, not reduced.

The classification losses that upstream shares with everybody are optax's (`sigmoid_binary_cross_entropy`,
`softmax_cross_entropy_with_integer_labels`, ..); those for long tails are in this folder, see docs/losses.md.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdet.ops import iou
from jaxdet.ops.box_coder import BoxCoder


def regression_loss(
  deltas: Float[Array, '*B N 4'],
  boxes: Float[Array, '#*B N 4'],
  objects: Float[Array, '*B N 4'],
  positive: Bool[Array, '*B N'],
  coder: BoxCoder,
  loss: Mapping[str, Any],
) -> Float[Array, '']:
  """Sums the config's loss over the positive boxes, times its weight.

  Args:
    deltas: the head's box regression, in the coder's units.
    boxes: anchors or proposals, in pixels.
    objects: ground-truth boxes; arbitrary where not positive.
    positive: True for the boxes in the sum.
    coder: encodes and decodes `deltas`.
    loss: `name`, one of `DELTA_LOSSES` on deltas or of `IOU_LOSSES` on decoded, unclipped boxes; its `weight`; the
      other numbers of a loss of deltas.
  """
  # Unit boxes where not positive keep all gradients finite.
  unit = jnp.asarray([0.0, 0.0, 1.0, 1.0])
  boxes, objects = (jnp.where(positive[..., None], x, unit) for x in (boxes, objects))
  if loss['name'] in DELTA_LOSSES:
    numbers = {key: value for key, value in loss.items() if key not in ('name', 'weight')}
    each = DELTA_LOSSES[loss['name']](deltas, coder.encode(boxes, objects), **numbers).sum(-1)
  elif loss['name'] in IOU_LOSSES:
    deltas = jnp.where(positive[..., None], deltas, 0.0)
    each = IOU_LOSSES[loss['name']](coder.decode(deltas, boxes), objects)
  else:
    names = ', '.join([*DELTA_LOSSES, *IOU_LOSSES])
    raise ValueError(f"unknown box regression loss '{loss['name']}': choose one of {names}")
  return loss['weight'] * jnp.where(positive, each, 0.0).sum()


def weighted_iou_loss(
  boxes: Float[Array, '*B N 4'], objects: Float[Array, '*B N 4'], weights: Float[Array, '*B N'], loss: Mapping[str, Any]
) -> Float[Array, '']:
  """Sums an IoU loss times each row's weight; rows of weight 0 may hold arbitrary values.

  Args:
    boxes: decoded, not clipped.
    objects: ground-truth boxes.
    weights: of each row, without gradient.
    loss: `name`, one of `IOU_LOSSES`, and its `weight`.
  """
  if loss['name'] not in IOU_LOSSES:
    raise ValueError(f"unknown loss of decoded boxes '{loss['name']}': choose one of {', '.join(IOU_LOSSES)}")
  counted = weights > 0
  # Unit boxes where the weight is 0 keep all gradients finite.
  boxes, objects = (jnp.where(counted[..., None], x, jnp.asarray([0.0, 0.0, 1.0, 1.0])) for x in (boxes, objects))
  return loss['weight'] * (IOU_LOSSES[loss['name']](boxes, objects) * weights).sum()


def smooth_l1(
  pred: Float[Array, '...'], target: Float[Array, '...'], beta: float | Float[Array, '']
) -> Float[Array, '...']:
  """Squared below `beta`, linear above: 0.5 d^2 / beta or |d| - 0.5 beta (Girshick, 2015); with beta 0 it is |d|.

  Equals optax's `huber_loss(delta=beta) / beta`, with its limit at beta 0; a `beta` that is an array is positive.
  """
  distance = _abs(pred - target)
  if not isinstance(beta, Array) and beta == 0:
    return distance
  return jnp.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta)


def balanced_l1(
  pred: Float[Array, '...'], target: Float[Array, '...'], alpha: float, gamma: float, beta: float
) -> Float[Array, '...']:
  """Balanced L1 (Libra R-CNN, Pang et al., 2019): more gradient for small distances d than smooth L1.

  Below `beta` it is alpha / b (b d + 1) log(b d / beta + 1) - alpha d with b = exp(gamma / alpha) - 1; above it is
  gamma d + gamma / b - alpha beta. Both meet at beta if beta is 1.
  """
  distance = _abs(pred - target)
  b = math.exp(gamma / alpha) - 1
  below = alpha / b * (b * distance + 1) * jnp.log(b * distance / beta + 1) - alpha * distance
  return jnp.where(distance < beta, below, gamma * distance + gamma / b - alpha * beta)


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
  """Smooth L1 of upper bounds on the IoU lost by each shift and scale alone (Tychsen-Smith and Petersson, 2018).

  Per box (dx, dy, dw, dh); `eps` in pixels keeps the quotients finite.
  """
  pred_sides, target_sides = pred[..., 2:] - pred[..., :2], target[..., 2:] - target[..., :2]
  shift = _abs(target[..., :2] + target[..., 2:] - pred[..., :2] - pred[..., 2:])
  by_shift = jnp.maximum((target_sides - shift) / (target_sides + shift + eps), 0)
  by_scale = jnp.minimum(target_sides / (pred_sides + eps), pred_sides / (target_sides + eps))
  return smooth_l1(1 - jnp.concatenate([by_shift, by_scale], -1), jnp.zeros((4,)), beta)


# By the names in configs.
DELTA_LOSSES = {'smooth_l1': smooth_l1, 'balanced_l1': balanced_l1}
IOU_LOSSES = {
  'iou': iou_loss,
  'giou': giou_loss,
  'diou': diou_loss,
  'ciou': ciou_loss,
  'ciou_gated': partial(ciou_loss, aspect_above=0.5),  # mmdetection's
  'bounded_iou': lambda pred, target: bounded_iou_loss(pred, target).sum(-1),
}


def _abs(x: Float[Array, '...']) -> Float[Array, '...']:
  """|x| with gradient 0 at 0, as upstream; jnp.abs has gradient 1 there."""
  return x * jnp.sign(x)
