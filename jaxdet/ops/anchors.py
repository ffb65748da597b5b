"""Anchors of a feature map: constants of the program, made with NumPy when it is traced."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


def centered_boxes(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> Float[np.ndarray, 'A 4']:
  """Boxes around the origin, one for each pair of a size and an aspect ratio.

  Args:
    sizes: square roots of the areas, in pixels.
    aspect_ratios: height / width, as many.
  """
  sizes, ratios = np.asarray(sizes, np.float64), np.asarray(aspect_ratios, np.float64)
  half = 0.5 * np.stack([sizes / np.sqrt(ratios), sizes * np.sqrt(ratios)], -1)
  return np.concatenate([-half, half], -1).astype(np.float32)


def cell_anchors(
  sizes: Sequence[float], aspect_ratios: Sequence[float], order: str = 'size_major'
) -> Float[np.ndarray, 'A 4']:
  """The anchors of one cell, around the origin: every size with every aspect ratio (height / width).

  `order` names the outer loop, on which the meaning of a head's channels depends: 'size_major' in Detectron2,
  'ratio_major' in mmdetection. With a single size the two agree.
  """
  pairs = _pairs(sizes, aspect_ratios, order)
  return centered_boxes(*pairs)


def legacy_cell_anchors(
  stride: int, scales: Sequence[float], aspect_ratios: Sequence[float]
) -> Float[np.ndarray, 'A 4']:
  """The anchors of the first cell as in mmdetection 1.x, to be put on the grid with offset 0.

  Corners are whole pixels, inclusive, around the middle of the first cell; sizes are `stride * scales`,
  the aspect ratio is the outer loop.
  """
  sizes, ratios = _pairs([stride * scale for scale in scales], aspect_ratios, 'ratio_major')
  half = 0.5 * (np.stack([sizes / np.sqrt(ratios), sizes * np.sqrt(ratios)], -1) - 1)
  middle = 0.5 * (stride - 1)
  return np.round(np.concatenate([middle - half, middle + half], -1)).astype(np.float32)


def ssd_cell_anchors(size: float, next_size: float, aspect_ratios: Sequence[float]) -> Float[np.ndarray, 'A 4']:
  """The anchors of one cell of SSD (Liu et al., 2016), around the origin, two for each ratio and two squares.

  Args:
    size: side of the smaller square, and square root of the area of all other shapes, in pixels.
    next_size: `size` of the next level; the larger square has the geometric mean of the two as its side.
    aspect_ratios: above 1; for each a wide anchor, then a tall one.
  """
  ratios = [each for ratio in aspect_ratios for each in (1 / ratio, ratio)]
  return centered_boxes([size, np.sqrt(size * next_size), *[size] * len(ratios)], [1.0, 1.0, *ratios])


def grid_anchors(
  cell: Float[np.ndarray, 'A 4'], grid: tuple[int, int], stride: float, offset: float = 0.0
) -> Float[np.ndarray, 'H*W*A 4']:
  """The anchors of all cells of a feature map, in the order (y, x, anchor), in pixels.

  Args:
    cell: the anchors of one cell around the origin.
    grid: (height, width) of the feature map.
    stride: pixels a cell.
    offset: from a cell's top left corner to its anchors' centre, in strides.
  """
  height, width = grid
  y, x = np.meshgrid((np.arange(height) + offset) * stride, (np.arange(width) + offset) * stride, indexing='ij')
  shifts = np.stack([x, y, x, y], -1).reshape(-1, 1, 4).astype(np.float32)
  return (shifts + cell).reshape(-1, 4)


def inside(anchors: Float[Array, 'N 4'], size: Int[Array, '2'] | tuple[int, int], border: float) -> Bool[Array, 'N']:
  """True for anchors that cross an image of `size` (height, width) by no more than `border` pixels.

  As in mmdetection the right and bottom sides must stay strictly below size + border.
  """
  height, width = size[0], size[1]
  x1, y1, x2, y2 = jnp.moveaxis(jnp.asarray(anchors), -1, 0)
  return (x1 >= -border) & (y1 >= -border) & (x2 < width + border) & (y2 < height + border)


def valid_cells(grid: tuple[int, int], size: Int[Array, '2'] | tuple[int, int], stride: float) -> Bool[Array, 'H W']:
  """True for the cells of a feature map that begin within an image of `size` (height, width).

  Args:
    grid: (height, width) of the feature map, which covers the canvas.
    size: of the image in pixels; mmdetection takes it after padding the image by itself.
    stride: pixels a cell.
  """
  height, width = grid
  inside_y = jnp.arange(height) * stride < size[0]
  inside_x = jnp.arange(width) * stride < size[1]
  return inside_y[:, None] & inside_x


def _pairs(
  sizes: Sequence[float], aspect_ratios: Sequence[float], order: str
) -> tuple[Float[np.ndarray, 'A'], Float[np.ndarray, 'A']]:
  if order not in ('size_major', 'ratio_major'):
    raise ValueError(f"unknown anchor order '{order}': choose 'size_major' or 'ratio_major'")
  indexing = 'ij' if order == 'size_major' else 'xy'
  size_grid, ratio_grid = np.meshgrid(sizes, aspect_ratios, indexing=indexing)
  return size_grid.reshape(-1), ratio_grid.reshape(-1)
