"""Anchors of all levels, and the mask of those that take part in training."""

from collections.abc import Iterable, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int
from ml_collections import FrozenConfigDict

from jaxdet.ops import anchors as anchor_ops

# Upstream pads an image to a multiple of this; in mmdetection anchors beyond the padded image are ignored in training.
PAD_DIVISOR = 32

Anchors = Mapping[int, np.ndarray]  # of each level [N, 4], in canvas pixels


def anchors_per_cell(anchors: FrozenConfigDict) -> int:
  """Number of anchors per cell, for heads shared by all levels; `anchors` are a head's settings.

  Raises:
    ValueError: the levels have different numbers.
  """
  counts = {len(sizes) for sizes in anchors.sizes}
  if len(counts) > 1:
    raise ValueError(f'levels that share a head have as many anchors a cell, but anchors.sizes is {anchors.sizes}')
  return counts.pop() * len(anchors.aspect_ratios)


def level_anchors(maps: Mapping[int, Array], anchors: FrozenConfigDict) -> dict[int, np.ndarray]:
  """Anchors of every level [H * W * A, 4], in the order of flattened logits [B, H, W, A].

  Args:
    maps: {level: [B, H, W, ...]}
    anchors: of a head's settings.
  """
  strides, out = level_strides(maps, anchors), {}
  for (level, level_map), sizes in zip(sorted(maps.items()), anchors.sizes, strict=True):
    stride, ratios = strides[level], anchors.aspect_ratios
    if anchors.rounded:
      cell = anchor_ops.legacy_cell_anchors(stride, [size / stride for size in sizes], ratios)
    else:
      cell = anchor_ops.cell_anchors(sizes, ratios, anchors.anchor_order)
    out[level] = anchor_ops.grid_anchors(cell, level_map.shape[1:3], stride, anchors.offset)
  return out


def level_strides(levels: Iterable[int], anchors: FrozenConfigDict) -> dict[int, float]:
  """Stride of each level, in canvas pixels per cell.

  Args:
    levels: levels of a head's maps.
    anchors: a head's settings; `strides` has one per level, finest first; (): 2**level, as in a pyramid.

  Raises:
    ValueError: there are more or fewer strides than levels.
  """
  levels = sorted(levels)
  if not anchors.strides:
    return {level: 2**level for level in levels}
  if len(anchors.strides) != len(levels):
    raise ValueError(f'anchors.strides {anchors.strides} are not one for each of the levels {levels}: give as many')
  return dict(zip(levels, anchors.strides, strict=True))


def training_anchors(
  maps: Mapping[int, Array], anchors: Anchors, size: Int[Array, '2'], settings: FrozenConfigDict
) -> Bool[Array, 'N']:
  """True for the anchors of all levels that take part in training, for an image of `size` on the canvas.

  Args:
    maps: {level: [B, H, W, A, ...]}
    anchors: from `level_anchors`.
    size: (height, width) of the image.
    settings: of a head; reads `anchors.strides`, `train_anchors` and `border`.
  """
  strides, parts = level_strides(anchors, settings.anchors), []
  for level, level_anchors_ in anchors.items():
    height, width, per_cell = maps[level].shape[1:4]
    if settings.train_anchors == 'image':
      padded = -(-size // PAD_DIVISOR) * PAD_DIVISOR
      part = anchor_ops.valid_cells((height, width), padded, strides[level])
      part = jnp.repeat(part.reshape(-1), per_cell)
    else:
      part = jnp.ones(len(level_anchors_), bool)
    if settings.border >= 0:
      part &= anchor_ops.inside(jnp.asarray(level_anchors_), size, settings.border)
    parts.append(part)
  return jnp.concatenate(parts)
