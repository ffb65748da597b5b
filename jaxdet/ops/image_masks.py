"""Masks on a grid over the canvas: cells that belong to a box, and masks in pixels of the image file.

NumPy alone, for the same reason as ops/paste.py; `cells_of_boxes` takes JAX's arrays too.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from jaxdet.ops.paste import Window, encode_rle

MARGIN = 1  # cells around a box that belong to it


def cells_of_boxes(
  boxes: Float[np.ndarray, '*N 4'], extent: Sequence[float], grid: tuple[int, int]
) -> tuple[Bool[np.ndarray, '*N h'], Bool[np.ndarray, '*N w']]:
  """True for the rows and for the columns of a grid that belong to a box (Bolya et al., 2019); NumPy or JAX arrays.

  Args:
    boxes: xyxy in pixels.
    extent: (height, width) in pixels that the grid covers.
    grid: (h, w) in cells.
  """

  def along(axis: int) -> Bool[np.ndarray, '*N cells']:
    cell, per_pixel = np.arange(grid[axis]), grid[axis] / extent[axis]
    begin, end = (boxes[..., corner, None] * per_pixel for corner in (1 - axis, 3 - axis))
    return (cell >= begin - MARGIN) & (cell < end + MARGIN)

  return along(0), along(1)


def image_mask_window(
  probabilities: Float[np.ndarray, 'h w'],
  box: Float[np.ndarray, '4'],
  extent: Sequence[float],
  height: int,
  width: int,
  threshold: float = 0.5,
) -> Window:
  """Mask pixels of an image, those above `threshold`, as (bool window, (y0, x0) of its first pixel).

  Cells outside the box count as 0; between cell centres probabilities are interpolated (torch's `interpolate`, bilinear
  with align_corners=False). A probability equal to the threshold is background, such as the one half that all-zero
  prototypes give.

  Args:
    probabilities: of the cells.
    box: xyxy in pixels of the image.
    extent: (height, width) in pixels of the image that the grid covers; may be larger than the image.
    height, width: of the image.
  """
  grid = probabilities.shape
  weights, first = [], []
  for axis, (size, kept) in enumerate(zip((height, width), cells_of_boxes(box, extent, grid), strict=True)):
    pixels, per_axis = _interpolation(size, extent[axis], grid[axis], np.flatnonzero(kept))
    weights.append(per_axis)
    first.append(pixels)
  rows, columns = weights
  return rows @ probabilities.astype(np.float32) @ columns.T > threshold, (first[0], first[1])


def encode_image_masks(
  probabilities: Float[np.ndarray, 'K h w'],
  boxes: Float[np.ndarray, 'K 4'],
  extent: Sequence[float],
  height: int,
  width: int,
  threshold: float = 0.5,
) -> list[dict]:
  """Run lengths of all masks of an image; see `image_mask_window`, `encode_rle`."""
  windows = [
    image_mask_window(mask, box, extent, height, width, threshold)
    for mask, box in zip(probabilities, boxes, strict=True)
  ]
  return [encode_rle(*window, height, width) for window in windows]


def _interpolation(size, extent, cells, kept) -> tuple[int, Float[np.ndarray, 'pixels cells']]:
  """First of `size` pixels with a weight on a kept cell, and the cells' weights from it to the last such pixel."""
  position = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / extent) - np.float32(0.5)
  position = position.clip(0, cells - 1)
  weights = np.zeros((size, cells), np.float32)
  for cell in (before := np.floor(position), (before + 1).clip(max=cells - 1)):
    weights[np.arange(size), cell.astype(np.int64)] = np.maximum(1 - np.abs(position - cell), np.float32(0))
  cropped = np.zeros_like(weights)
  cropped[:, kept] = weights[:, kept]
  seen = np.flatnonzero(cropped.any(1))
  if not seen.size:
    return 0, cropped[:0]
  return int(seen[0]), cropped[seen[0] : seen[-1] + 1]
