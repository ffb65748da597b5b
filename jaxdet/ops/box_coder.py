"""What a network regresses to move a box: centre shifts and log scales, or distances to the four sides.

All functions broadcast over leading axes. Class-specific deltas [N, K, 4] are decoded with `boxes[:, None]`.
Boxes without area, such as padding, give finite numbers of no meaning.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdet.ops.boxes import clip

# A box grows by no more than this factor, nor shrinks where both sides are clamped.
MAX_SCALE = 1000 / 16

Weights = tuple[float, float, float, float]


def encode(
  boxes: Float[Array, '... 4'], targets: Float[Array, '... 4'], weights: Weights, extra: float = 0.0
) -> Float[Array, '... 4']:
  """Deltas (dx, dy, dw, dh) that take `boxes` to `targets` (Girshick et al., 2014).

  Args:
    boxes: anchors or proposals, in pixels.
    targets: where they should go.
    weights: factors of the deltas; mmdetection's standard deviations are their reciprocals.
    extra: pixels added to width and height; 1 for the inclusive coordinates of mmdetection 1.x.
  """
  centre, sides = _centre_and_sides(boxes, extra)
  target_centre, target_sides = _centre_and_sides(targets, extra)
  safe_sides = jnp.where(sides > 0, sides, 1.0)
  scale = jnp.where((sides > 0) & (target_sides > 0), target_sides / safe_sides, 1.0)
  deltas = jnp.concatenate([(target_centre - centre) / safe_sides, jnp.log(scale)], -1)
  return deltas * jnp.asarray(weights, deltas.dtype)


def decode(
  deltas: Float[Array, '... 4'],
  boxes: Float[Array, '... 4'],
  weights: Weights,
  clamp: str = 'above',
  max_shift: float | None = None,
  extra: float = 0.0,
) -> Float[Array, '... 4']:
  """Applies deltas to boxes: the inverse of `encode`, in float32 and without clipping to an image.

  Args:
    deltas: (dx, dy, dw, dh), multiplied by the weights as `encode` gives them.
    boxes: anchors or proposals, in pixels.
    weights: as for `encode`.
    clamp: 'above' limits scales to at most `MAX_SCALE` (Detectron2), 'both' to at least its reciprocal
      too (mmdetection).
    max_shift: the furthest a centre moves along an axis, in pixels (YOLOF: 32, with clamp 'above').
    extra: pixels added to the boxes' width and height; 1 for mmdetection 1.x, whose decoding does not take
      them off again.
  """
  if clamp not in ('above', 'both'):
    raise ValueError(f"unknown clamp '{clamp}' of a box coder: choose 'above' or 'both'")
  deltas = deltas.astype(jnp.float32) / jnp.asarray(weights, jnp.float32)
  centre, sides = _centre_and_sides(boxes.astype(jnp.float32), extra)
  shift = deltas[..., :2] * sides
  if max_shift is not None:
    shift = jnp.clip(shift, -max_shift, max_shift)
  limit = math.log(MAX_SCALE)
  log_scale = jnp.clip(deltas[..., 2:], -limit if clamp == 'both' else None, limit)
  half = 0.5 * jnp.exp(log_scale) * sides
  return jnp.concatenate([centre + shift - half, centre + shift + half], -1)


def decode_clipped(
  deltas: Float[Array, 'N 4'], boxes: Float[Array, 'N 4'], image_size: Int[Array, '2'], coder: Mapping[str, Any]
) -> Float[Array, 'N 4']:
  """Decodes the deltas of one image as a config's `coder` says, and clips the boxes to the image.

  What is not finite stays so.

  Args:
    deltas, boxes: as for `decode`.
    image_size: (height, width) in pixels.
    coder: `weights`, `clamp` and `extra` as `decode` takes them; boxes with an extra pixel end at size - 1. With `clip`
      False boxes that cross the border stay as they are (mmdetection's `clip_border`).
  """
  decoded = decode(deltas, boxes, coder['weights'], coder['clamp'], extra=coder['extra'])
  if not coder['clip']:
    return decoded
  return jnp.where(jnp.isfinite(decoded), clip(decoded, image_size - coder['extra']), decoded)


def encode_sides(boxes: Float[Array, '... 4'], targets: Float[Array, '... 4'], relative: bool) -> Float[Array, '... 4']:
  """Distances from the centres of `boxes` to the (left, top, right, bottom) sides of `targets` (FCOS, 2019).

  In pixels, or relative to the boxes' own width and height; negative where a centre lies outside.
  """
  centre, sides = _centre_and_sides(boxes)
  distances = jnp.concatenate([centre - targets[..., :2], targets[..., 2:] - centre], -1)
  return distances / _unit(sides, relative)


def decode_sides(deltas: Float[Array, '... 4'], boxes: Float[Array, '... 4'], relative: bool) -> Float[Array, '... 4']:
  """The inverse of `encode_sides`; negative distances count as 0, so that the result is a box."""
  centre, sides = _centre_and_sides(boxes)
  distances = jnp.maximum(deltas, 0) * _unit(sides, relative)
  return jnp.concatenate([centre - distances[..., :2], centre + distances[..., 2:]], -1)


def _centre_and_sides(
  boxes: Float[Array, '... 4'], extra: float = 0.0
) -> tuple[Float[Array, '... 2'], Float[Array, '... 2']]:
  top_left, bottom_right = boxes[..., :2], boxes[..., 2:]
  return 0.5 * (top_left + bottom_right), bottom_right - top_left + extra


def _unit(sides: Float[Array, '... 2'], relative: bool) -> Float[Array, '... 4']:
  unit = jnp.where(sides > 0, sides, 1.0) if relative else jnp.ones_like(sides)
  return jnp.concatenate([unit, unit], -1)
