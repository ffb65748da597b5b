"""Encodes and decodes box regression: centre shifts and log scales, or distances to the four sides.

All functions broadcast over leading axes. Class-specific deltas [N, K, 4] are decoded with `boxes[:, None]`.
Boxes without area, such as padding, give finite but meaningless values.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdet.ops.boxes import centres, clip
from jaxdet.parts import find_with_settings

# Largest factor by which a box grows; with scale_clamp 'symmetric' also the largest by which it shrinks.
MAX_SCALE = 1000 / 16


class BoxCoder(Protocol):
  """Converts between boxes and the values that a head regresses for them."""

  def encode(self, boxes: Float[Array, '... 4'], targets: Float[Array, '... 4']) -> Float[Array, '... 4']:
    """Regression targets that move `boxes` (anchors or proposals, in pixels) to `targets`."""

  def decode(self, numbers: Float[Array, '... 4'], boxes: Float[Array, '... 4']) -> Float[Array, '... 4']:
    """Inverse of `encode`, in float32, not clipped to an image."""

  def decode_clipped(
    self, numbers: Float[Array, 'N 4'], boxes: Float[Array, 'N 4'], image_size: Int[Array, '2']
  ) -> Float[Array, 'N 4']:
    """Decodes one image's boxes and clips them to its (height, width) in pixels; non-finite values stay non-finite."""


@dataclasses.dataclass(frozen=True)
class Deltas:
  """Centre shifts in sides of the box and log scales, (dx, dy, dw, dh) (Girshick et al., 2014).

  Raises:
    ValueError: for an unknown `scale_clamp`.
  """

  weights: tuple[float, float, float, float]  # factors of the deltas; mmdetection's deviations are their reciprocals
  scale_clamp: str  # 'max': scales <= MAX_SCALE (Detectron2); 'symmetric': also >= 1 / MAX_SCALE (mmdetection)
  legacy_plus_one: bool = False  # a box's last pixel is inside it, as in mmdetection 1.x
  max_shift: float | None = None  # largest shift of a centre along an axis, in pixels (YOLOF: 32)

  def __post_init__(self):
    if self.scale_clamp not in ('max', 'symmetric'):
      raise ValueError(f"unknown scale_clamp '{self.scale_clamp}' of a box coder: choose 'max' or 'symmetric'")

  def encode(self, boxes: Float[Array, '... 4'], targets: Float[Array, '... 4']) -> Float[Array, '... 4']:
    """Deltas that move `boxes` to `targets`."""
    centre, sides = _centre_and_sides(boxes, self.legacy_plus_one)
    target_centre, target_sides = _centre_and_sides(targets, self.legacy_plus_one)
    safe_sides = jnp.where(sides > 0, sides, 1.0)
    scale = jnp.where((sides > 0) & (target_sides > 0), target_sides / safe_sides, 1.0)
    deltas = jnp.concatenate([(target_centre - centre) / safe_sides, jnp.log(scale)], -1)
    return deltas * jnp.asarray(self.weights, deltas.dtype)

  def decode(self, deltas: Float[Array, '... 4'], boxes: Float[Array, '... 4']) -> Float[Array, '... 4']:
    """Applies deltas to boxes, in float32, not clipped to an image.

    With `legacy_plus_one` the pixel added to the sides is not subtracted again, as upstream.
    """
    deltas = deltas.astype(jnp.float32) / jnp.asarray(self.weights, jnp.float32)
    centre, sides = _centre_and_sides(boxes.astype(jnp.float32), self.legacy_plus_one)
    shift = deltas[..., :2] * sides
    if self.max_shift is not None:
      shift = jnp.clip(shift, -self.max_shift, self.max_shift)
    limit = math.log(MAX_SCALE)
    log_scale = jnp.clip(deltas[..., 2:], -limit if self.scale_clamp == 'symmetric' else None, limit)
    half = 0.5 * jnp.exp(log_scale) * sides
    return jnp.concatenate([centre + shift - half, centre + shift + half], -1)

  def decode_clipped(
    self, deltas: Float[Array, 'N 4'], boxes: Float[Array, 'N 4'], image_size: Int[Array, '2']
  ) -> Float[Array, 'N 4']:
    """Applies the deltas of one image and clips the boxes to it; with `legacy_plus_one` they end a pixel before it."""
    decoded = self.decode(deltas, boxes)
    return jnp.where(jnp.isfinite(decoded), clip(decoded, image_size - int(self.legacy_plus_one)), decoded)


CODERS = {'deltas': Deltas}


def make_coder(settings: Mapping[str, Any]) -> BoxCoder:
  """Makes a config's coder: `name` in CODERS, and its fields."""
  coder, fields = find_with_settings(CODERS, settings, 'coder')
  return coder(**fields)


def encode_sides(boxes: Float[Array, '... 4'], targets: Float[Array, '... 4'], relative: bool) -> Float[Array, '... 4']:
  """Distances from the centres of `boxes` to the (left, top, right, bottom) sides of `targets` (FCOS, 2019).

  In pixels, or relative to the boxes' own width and height; negative where a centre lies outside.
  """
  centre, sides = _centre_and_sides(boxes)
  distances = jnp.concatenate([centre - targets[..., :2], targets[..., 2:] - centre], -1)
  return distances / _unit(sides, relative)


def decode_sides(deltas: Float[Array, '... 4'], boxes: Float[Array, '... 4'], relative: bool) -> Float[Array, '... 4']:
  """Inverse of `encode_sides`; negative distances count as 0, so that the result is a box."""
  centre, sides = _centre_and_sides(boxes)
  distances = jnp.maximum(deltas, 0) * _unit(sides, relative)
  return jnp.concatenate([centre - distances[..., :2], centre + distances[..., 2:]], -1)


def _centre_and_sides(
  boxes: Float[Array, '... 4'], legacy_plus_one: bool = False
) -> tuple[Float[Array, '... 2'], Float[Array, '... 2']]:
  return centres(boxes), boxes[..., 2:] - boxes[..., :2] + float(legacy_plus_one)


def _unit(sides: Float[Array, '... 2'], relative: bool) -> Float[Array, '... 4']:
  unit = jnp.where(sides > 0, sides, 1.0) if relative else jnp.ones_like(sides)
  return jnp.concatenate([unit, unit], -1)
