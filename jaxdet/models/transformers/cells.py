"""The cells of feature maps as one sequence: which lie on the image, and where."""

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
  shares: Float[Array, 'B L 2']  # of a level's width and height that lies on the image
  encoding: Float[Array, 'B S C']  # of the cell's position, see `sine_encoding`
  shapes: tuple[tuple[int, int], ...] = flax.struct.field(pytree_node=False)  # (height, width) of every level


def cells_of(
  pyramid: Mapping[int, Float[Array, 'B _ _ C']],
  image_size: Int[Array, 'B 2'],
  canvas: tuple[int, int],
  offset: float,
) -> tuple[Float[Array, 'B S C'], Cells]:
  """The features of a pyramid as a sequence, and what their cells are.

  Args:
    pyramid: features by level.
    image_size: (height, width) of the images, in pixels.
    canvas: (height, width), in pixels.
    offset: as `sine_encoding` takes it.
  """
  levels = sorted(pyramid)
  features, valid, shares, encoding, shapes = [], [], [], [], []
  for level in levels:
    batch, height, width, channels = pyramid[level].shape
    on_y, on_x = (on_image(image_size[:, axis], canvas[axis], side) for axis, side in enumerate((height, width)))
    on_map = on_y[:, :, None] & on_x[:, None]
    features.append(pyramid[level].reshape(batch, -1, channels))
    valid.append(on_map.reshape(batch, -1))
    # At least a cell, for images of no size that fill up a batch.
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
  """(x, y) of every cell's centre, 1 being the image's side; beyond it on the padding."""
  points = []
  for level, (height, width) in enumerate(cells.shapes):
    y, x = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing='ij')
    grid = jnp.stack([x, y], -1).reshape(-1, 2) / jnp.array([width, height])
    points.append(grid / cells.shares[:, None, level])
  return jnp.concatenate(points, 1)


def on_image(image_side: Int[Array, 'B'], canvas_side: int, side: int) -> Bool[Array, 'B N']:
  """Which cells along an axis lie on the image: those whose nearest pixel, taken from above or left, does."""
  pixels = jnp.arange(side) * canvas_side // side
  return pixels < image_side[:, None]


def sine_encoding(valid: Bool[Array, 'B H W'], channels: int, offset: float) -> Float[Array, 'B H W C']:
  """Sines and cosines of a cell's row, then of its column, within the valid part of the map (Carion et al., 2020).

  Args:
    valid: cells on the image; only these are counted.
    channels: a multiple of four.
    offset: added to the row and column, which count from 1, before they are divided by the last one. Deformable DETR
      has -0.5, for the centres of cells.
  """
  halves = []
  for axis in (1, 2):
    count = valid.cumsum(axis).astype(jnp.float32)
    last = jnp.take(count, jnp.array([-1]), axis)
    halves.append(_waves((count + offset) / (last + 1e-6), channels // 2))
  return jnp.concatenate(halves, -1)


def box_encoding(boxes: Float[Array, '... 4'], channels: int) -> Float[Array, '... C']:
  """The same of the four numbers of a box, each in [0, 1]."""
  waves = _waves(boxes, channels // 4)
  return waves.reshape(*boxes.shape[:-1], channels)


def _waves(position: Float[Array, '...'], channels: int) -> Float[Array, '... C']:
  """sin, cos, sin, cos, .. of a position in [0, 1], two of each frequency."""
  frequencies = TEMPERATURE ** (-2 * jnp.arange(channels // 2, dtype=jnp.float32) / channels)
  angles = position[..., None] * (2 * math.pi * frequencies)
  return jnp.stack([jnp.sin(angles), jnp.cos(angles)], -1).reshape(*position.shape, channels)
