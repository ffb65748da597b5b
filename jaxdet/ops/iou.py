"""Overlap measures of boxes (x1, y1, x2, y2) in pixels.

`pairwise_*` compare every box of one set with every box of another, the others compare two arrays of boxes
of one shape. Boxes without area, such as padding, overlap nothing: values and gradients stay finite.

Every function has an `eps`, in square pixels: the least denominator. Detectron2 adds it, mmdetection takes
the maximum; for boxes of a pixel or more the two agree to float32.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxdet.ops import boxes as box_ops

Boxes = Float[Array, '... 4']
PerBox = Float[Array, '...']


def pairwise_iou(boxes: Float[Array, 'N 4'], others: Float[Array, 'M 4'], eps: float = 1e-6) -> Float[Array, 'N M']:
  """Intersection over union of every pair."""
  return iou(boxes[:, None], others[None], eps)


def pairwise_iof(boxes: Float[Array, 'N 4'], others: Float[Array, 'M 4'], eps: float = 1e-6) -> Float[Array, 'N M']:
  """Intersection over foreground of every pair: the share of `boxes[n]` that lies within `others[m]`."""
  boxes = boxes[:, None]
  return _intersection(boxes, others[None]) / jnp.maximum(box_ops.area(boxes), eps)


def iou(boxes: Boxes, others: Boxes, eps: float = 1e-6) -> PerBox:
  """Intersection over union, in [0, 1]."""
  intersection = _intersection(boxes, others)
  return intersection / jnp.maximum(box_ops.area(boxes) + box_ops.area(others) - intersection, eps)


def giou(boxes: Boxes, others: Boxes, eps: float = 1e-7) -> PerBox:
  """Generalized IoU, in (-1, 1] (Rezatofighi et al., 2019): less the empty share of the enclosing box."""
  intersection = _intersection(boxes, others)
  union = jnp.maximum(box_ops.area(boxes) + box_ops.area(others) - intersection, eps)
  width, height = _enclosing_sides(boxes, others)
  enclosing = jnp.maximum(width * height, eps)
  return intersection / union - (enclosing - union) / enclosing


def diou(boxes: Boxes, others: Boxes, eps: float = 1e-7) -> PerBox:
  """Distance IoU, in (-1, 1] (Zheng et al., 2020): less the centres' distance relative to the enclosing diagonal."""
  width, height = _enclosing_sides(boxes, others)
  shift = (boxes[..., :2] + boxes[..., 2:] - others[..., :2] - others[..., 2:]) / 2
  return iou(boxes, others, eps) - (shift**2).sum(-1) / jnp.maximum(width**2 + height**2, eps)


def ciou(boxes: Boxes, others: Boxes, eps: float = 1e-7, aspect_above: float | None = None) -> PerBox:
  """Complete IoU (Zheng et al., 2020): distance IoU less a penalty for different aspect ratios.

  Args:
    boxes: predictions, which get the gradient.
    others: targets, of the same shape.
    eps: least denominator.
    aspect_above: the penalty applies where the IoU is above this. None: everywhere, as in the paper and in
      Detectron2; mmdetection: 0.5.
  """
  overlap = iou(boxes, others, eps)
  penalty = (4 / jnp.pi**2) * (_aspect_angle(others, eps) - _aspect_angle(boxes, eps)) ** 2
  # The trade-off is a weight, not a term to minimise.
  weight = lax.stop_gradient(penalty / (1 - overlap + penalty + eps))
  if aspect_above is not None:
    weight = jnp.where(overlap > aspect_above, weight, 0.0)
  return diou(boxes, others, eps) - weight * penalty


def _intersection(boxes: Boxes, others: Boxes) -> PerBox:
  # Coordinate by coordinate: with x and y as a trailing axis of two the pairwise case does not vectorise.
  width = jnp.minimum(boxes[..., 2], others[..., 2]) - jnp.maximum(boxes[..., 0], others[..., 0])
  height = jnp.minimum(boxes[..., 3], others[..., 3]) - jnp.maximum(boxes[..., 1], others[..., 1])
  # At 0 the gradient is that of touching boxes that move together, as with torch's clamp, where maximum's is half.
  return jnp.where(width >= 0, width, 0) * jnp.where(height >= 0, height, 0)


def _enclosing_sides(boxes: Boxes, others: Boxes) -> tuple[PerBox, PerBox]:
  width = jnp.maximum(boxes[..., 2], others[..., 2]) - jnp.minimum(boxes[..., 0], others[..., 0])
  height = jnp.maximum(boxes[..., 3], others[..., 3]) - jnp.minimum(boxes[..., 1], others[..., 1])
  return width, height


def _aspect_angle(boxes: Boxes, eps: float) -> PerBox:
  width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
  return jnp.arctan(width / jnp.maximum(height, eps))
