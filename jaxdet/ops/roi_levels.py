"""Assigns RoIs to levels of a feature pyramid (Lin et al. 2017, FPN, equation 1)."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def pyramid_levels(features: Mapping[int, Array]) -> list[int]:
  """Returns the levels of a feature pyramid in order.

  Raises:
    ValueError: they are not consecutive.
  """
  levels = sorted(features)
  if levels != list(range(levels[0], levels[-1] + 1)):
    raise ValueError(f'the levels of a pyramid must be consecutive, got {levels}')
  return levels


def roi_levels(
  boxes: Float[Array, '*R 4'],
  *,
  min_level: int,
  max_level: int,
  canonical_size: float = 224,
  canonical_level: int = 4,
) -> Int[Array, '*R']:
  """Level of each box: `canonical_level` for a side of `canonical_size` pixels, one more for each doubling.

  Sides are sqrt(width * height). Detectron2's rule, its epsilon included; mmdetection's differs from it only for
  sides within a millionth of a power of two. Empty boxes go to `min_level`.

  Args:
    boxes: xyxy in image pixels.
    min_level, max_level: the result is clamped to them; the stride of level l is 2**l.
  """
  width = boxes[..., 2] - boxes[..., 0]
  height = boxes[..., 3] - boxes[..., 1]
  side = jnp.sqrt(jnp.maximum(width * height, 0.0))
  level = jnp.floor(canonical_level + jnp.log2(side / canonical_size + 1e-8))
  return jnp.clip(level, min_level, max_level).astype(jnp.int32)
