"""The anchors of a pyramid's levels, and which of them take part in training."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int
from ml_collections import FrozenConfigDict

from jaxdet.ops import anchors as anchor_ops

# Upstream pads an image to a multiple of this; mmdetection's anchors beyond that take no part in training.
PAD_DIVISOR = 32

Priors = Mapping[int, np.ndarray]  # of each level [N, 4], in canvas pixels


def anchors_per_cell(settings: FrozenConfigDict) -> int:
  """How many anchors a cell has; of a head's settings `anchors` is read."""
  return len(settings.anchors.sizes[0]) * len(settings.anchors.aspect_ratios)


def level_anchors(maps: Mapping[int, Array], settings: FrozenConfigDict) -> dict[int, np.ndarray]:
  """The anchors of every level [H * W * A, 4], in the order in which logits [B, H, W, A] are flattened.

  Args:
    maps: {level: [B, H, W, ...]}
    settings: of a head; `anchors` is read.
  """
  out = {}
  for (level, level_map), sizes in zip(sorted(maps.items()), settings.anchors.sizes, strict=True):
    stride, ratios = 2**level, settings.anchors.aspect_ratios
    if settings.anchors.rounded:
      cell = anchor_ops.legacy_cell_anchors(stride, [size / stride for size in sizes], ratios)
    else:
      cell = anchor_ops.cell_anchors(sizes, ratios, settings.anchors.major)
    out[level] = anchor_ops.grid_anchors(cell, level_map.shape[1:3], stride, settings.anchors.offset)
  return out


def training_anchors(
  maps: Mapping[int, Array], anchors: Mapping[int, np.ndarray], size: Int[Array, '2'], settings: FrozenConfigDict
) -> Bool[Array, 'N']:
  """The anchors of all levels that take part in training for an image of `size` on the canvas.

  Args:
    maps: {level: [B, H, W, A, ...]}
    anchors: of `level_anchors`.
    size: (height, width) of the image.
    settings: of a head; `train_anchors` and `border` are read.
  """
  parts = []
  for level, level_anchors_ in anchors.items():
    height, width, per_cell = maps[level].shape[1:4]
    if settings.train_anchors == 'image':
      padded = -(-size // PAD_DIVISOR) * PAD_DIVISOR
      part = anchor_ops.valid_cells((height, width), padded, 2**level)
      part = jnp.repeat(part.reshape(-1), per_cell)
    else:
      part = jnp.ones(len(level_anchors_), bool)
    if settings.border >= 0:
      part &= anchor_ops.inside(jnp.asarray(level_anchors_), size, settings.border)
    parts.append(part)
  return jnp.concatenate(parts)
