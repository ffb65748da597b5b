"""Flattens feature maps to one sequence of cells, with their validity and positions."""

import math
from collections.abc import Mapping

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

TEMPERATURE = 10_000


@flax.struct.dataclass
class Cells:
  """S cells of all levels, finest level first, each level row by row."""

  valid: Bool[Array, 'B S']  # the cell lies on the image, not on the canvas's padding
  shares: Float[Array, 'B L 2']  # shares of a level's width and height that lie on the image
  encoding: Float[Array, 'B S C']  # position encoding, see `sine_encoding`
  shapes: tuple[tuple[int, int], ...] = flax.struct.field(pytree_node=False)  # (height, width) of every level


def cells_of(
  pyramid: Mapping[int, Float[Array, 'B _ _ C']],
  image_size: Int[Array, 'B 2'],
  canvas: tuple[int, int],
  offset: float,
) -> tuple[Float[Array, 'B S C'], Cells]:
  """Flattens the features of a pyramid to a sequence, and describes its cells.

  Args:
    pyramid: features by level.
    image_size: (height, width) of the images, in pixels.
    canvas: (height, width), in pixels.
    offset: as in `sine_encoding`.
  """
  levels = sorted(pyramid)
  features, valid, shares, encoding, shapes = [], [], [], [], []
  for level in levels:
    batch, height, width, channels = pyramid[level].shape
    on_y, on_x = (on_image(image_size[:, axis], canvas[axis], side) for axis, side in enumerate((height, width)))
    on_map = on_y[:, :, None] & on_x[:, None]
    features.append(pyramid[level].reshape(batch, -1, channels))
    valid.append(on_map.reshape(batch, -1))
    # At least one cell, for padding images of size 0.
    shares.append(jnp.stack([jnp.maximum(on.sum(1), 1) / on.shape[1] for on in (on_x, on_y)], -1))
    encoding.append(sine_encoding(on_map, channels, offset).reshape(batch, -1, channels))
    shapes.append((height, width))
  cells = Cells(
    valid=jnp.concatenate(valid, 1),
    shares=jnp.stack(shares, 1).astype(encoding[0].dtype),
    encoding=jnp.concatenate(encoding, 1),
    shapes=tuple(shapes),
  )
  return jnp.concatenate(features, 1), cells


def centres(cells: Cells) -> Float[Array, 'B S 2']:
  """Centre (x, y) of every cell in image sides; above 1 on the padding."""
  points = []
  for level, (height, width) in enumerate(cells.shapes):
    y, x = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing='ij')
    grid = jnp.stack([x, y], -1).reshape(-1, 2) / jnp.array([width, height])
    points.append(grid / cells.shares[:, None, level])
  return jnp.concatenate(points, 1)


def on_image(image_side: Int[Array, 'B'], canvas_side: int, side: int) -> Bool[Array, 'B N']:
  """True for cells along an axis that lie on the image: their pixel index, i * canvas_side // side, is on it."""
  pixels = jnp.arange(side) * canvas_side // side
  return pixels < image_side[:, None]


def sine_encoding(valid: Bool[Array, 'B H W'], channels: int, offset: float) -> Float[Array, 'B H W C']:
  """Encodes a cell's row, then its column, within the valid part of the map, by sines and cosines (Carion, 2020).

  Args:
    valid: True for cells on the image; rows and columns count only these.
    channels: a multiple of four.
    offset: added to row and column, which count from 1, before division by the last one. Deformable DETR: -0.5, for
      the centres of cells.
  """
  halves = []
  for axis in (1, 2):
    count = valid.cumsum(axis).astype(jnp.float32)
    last = jnp.take(count, jnp.array([-1]), axis)
    halves.append(_waves((count + offset) / (last + 1e-6), channels // 2))
  return jnp.concatenate(halves, -1)


def box_encoding(boxes: Float[Array, '... 4'], channels: int) -> Float[Array, '... C']:
  """Encodes the four coordinates of a box, each in [0, 1], by sines and cosines."""
  waves = _waves(boxes, channels // 4)
  return waves.reshape(*boxes.shape[:-1], channels)


def _waves(position: Float[Array, '...'], channels: int) -> Float[Array, '... C']:
  """Interleaves sin and cos of a position in [0, 1] at channels / 2 frequencies."""
  frequencies = TEMPERATURE ** (-2 * jnp.arange(channels // 2, dtype=jnp.float32) / channels)
  angles = position[..., None] * (2 * math.pi * frequencies)
  return jnp.stack([jnp.sin(angles), jnp.cos(angles)], -1).reshape(*position.shape, channels)
