"""Rasterizes masks to M x M cells over a window around each object's box.

The window begins at the pixel of the box's top left corner. Along an axis on which the box touches at most M pixels a
cell is one pixel, and the bits are those of the COCO API's rasterisation of the whole canvas. Along a longer axis the
window ends with the box's last pixel and its M cells are larger than a pixel: the polygon is rasterised on the grid of
cells.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from pycocotools import mask as coco_mask

from input_pipeline.polygons import Polygons


def mask_windows(boxes: Float[np.ndarray, 'N 4'], mask_size: int) -> Float32[np.ndarray, 'N 4']:
  """Window of each box, xyxy in whole canvas pixels."""
  start = np.floor(boxes[:, :2])
  extent = np.maximum(np.ceil(boxes[:, 2:]) - start, mask_size)
  return np.concatenate([start, start + extent], axis=1).astype(np.float32)


def rasterize_polygons(
  polygons: Polygons, windows: Float32[np.ndarray, 'N 4'], mask_size: int
) -> Bool[np.ndarray, 'N M M']:
  """Rasterizes each object's polygons over its window, row by row; empty for objects without polygons.

  Args:
    polygons: in canvas pixels, of the objects of `windows`.
    windows: from `mask_windows`.
    mask_size: M, cells along a side of a window.
  """
  bits = np.zeros((len(windows), mask_size, mask_size), np.bool_)
  if not (mask_size and len(polygons.lengths)):
    return bits
  windows = windows.astype(np.float64)
  origin, cell = windows[:, :2], (windows[:, 2:] - windows[:, :2]) / mask_size
  owner = np.repeat(polygons.owners, polygons.lengths)
  cells = ((polygons.points - origin[owner]) / cell[owner]).reshape(-1)
  parts = np.split(cells, 2 * np.cumsum(polygons.lengths)[:-1])
  runs = coco_mask.frPyObjects(parts, mask_size, mask_size)
  columns = coco_mask.decode(runs).transpose(2, 1, 0)  # [polygon, x, y]: the order in memory
  first = np.flatnonzero(np.diff(polygons.owners, prepend=-1))
  if len(first) < len(columns):
    eight = columns.reshape(len(columns), -1).view(np.uint64)  # eight cells at a time
    columns = np.bitwise_or.reduceat(eight, first).view(np.uint8).reshape(-1, mask_size, mask_size)
  bits[polygons.owners[first]] = columns.transpose(0, 2, 1)
  return bits


def resample_runs(
  counts: Sequence[bytes],
  file_size: tuple[int, int],
  scale: Float[np.ndarray, '2'],
  offset: Float[np.ndarray, '2'],
  windows: Float32[np.ndarray, 'N 4'],
  mask_size: int,
) -> Bool[np.ndarray, 'N M M']:
  """Samples COCO's run-length masks over their windows, at the file's pixel under each cell's centre.

  If a cell is a pixel this is upstream's nearest-neighbour resize of the mask.

  Args:
    counts: compressed runs of each object over the whole file.
    file_size: (height, width) of the file.
    scale: (x, y) of the map from the file to the canvas.
    offset: (x, y) of this map: canvas = file * scale + offset.
    windows: from `mask_windows`.
    mask_size: M, cells along a side of a window.
  """
  centres = (np.arange(mask_size) + 0.5) / mask_size
  bits = np.zeros((len(counts), mask_size, mask_size), np.bool_)
  for row, (runs, window) in enumerate(zip(counts, windows.astype(np.float64), strict=True)):
    mask = coco_mask.decode({'size': list(file_size), 'counts': runs})
    on_canvas = window[:2, None] + centres * (window[2:] - window[:2])[:, None]
    x, y = np.floor((on_canvas - offset[:, None]) / scale[:, None]).astype(np.int64)
    inside = ((y >= 0) & (y < file_size[0]))[:, None] & ((x >= 0) & (x < file_size[1]))
    bits[row] = mask[np.ix_(y.clip(0, file_size[0] - 1), x.clip(0, file_size[1] - 1))] & inside
  return bits


def pixels_of_polygons(polygons: Polygons, height: int, width: int) -> Bool[np.ndarray, 'H W']:
  """Mask of the canvas pixels inside any polygon, as the COCO API rasterises them."""
  if not len(polygons.lengths):
    return np.zeros((height, width), np.bool_)
  parts = np.split(polygons.points.reshape(-1), 2 * np.cumsum(polygons.lengths)[:-1])
  runs = coco_mask.merge(coco_mask.frPyObjects(parts, height, width))
  return np.ascontiguousarray(coco_mask.decode(runs)).view(np.bool_)


def pixels_of_bits(
  bits: Bool[np.ndarray, 'N M M'], windows: Float32[np.ndarray, 'N 4'], height: int, width: int
) -> Bool[np.ndarray, 'H W']:
  """Mask of the canvas pixels whose centre lies in a set cell of any mask."""
  pixels = np.zeros((height, width), np.bool_)
  for mask, (x1, y1, x2, y2) in zip(bits, windows.astype(np.int64).tolist(), strict=True):
    rows, columns = np.arange(y1, min(y2, height)), np.arange(x1, min(x2, width))
    cells_y = (rows + 0.5 - y1) * len(mask) // (y2 - y1)
    cells_x = (columns + 0.5 - x1) * len(mask) // (x2 - x1)
    pixels[y1:y2, x1:x2] |= mask[np.ix_(cells_y.astype(np.int64), cells_x.astype(np.int64))]
  return pixels


def sample_pixels(
  pixels: Bool[np.ndarray, 'H W'], windows: Float32[np.ndarray, 'N 4'], mask_size: int
) -> Bool[np.ndarray, 'N M M']:
  """Samples the pixel under each cell's centre; False outside the canvas."""
  centres = (np.arange(mask_size) + 0.5) / mask_size
  windows = windows.astype(np.float64)
  x, y = (
    np.floor(windows[:, i, None] + centres * (windows[:, i + 2] - windows[:, i])[:, None]).astype(np.int64)
    for i in (0, 1)
  )
  height, width = pixels.shape
  inside = (y < height)[:, :, None] & (x < width)[:, None, :]
  return pixels[y.clip(max=height - 1)[:, :, None], x.clip(max=width - 1)[:, None, :]] & inside


def clear_outside(
  bits: Bool[np.ndarray, 'N M M'], windows: Float32[np.ndarray, 'N 4'], height: int, width: int
) -> Bool[np.ndarray, 'N M M']:
  """Clears the bits of cells that do not begin within the image of `height` x `width`."""
  size = bits.shape[-1]
  steps = np.arange(size) / size
  windows = windows.astype(np.float64)
  x, y = (windows[:, i, None] + steps * (windows[:, i + 2] - windows[:, i])[:, None] for i in (0, 1))
  return bits & ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]


def pack(bits: Bool[np.ndarray, 'N M M']) -> UInt8[np.ndarray, 'N M M/8']:
  """Packs eight cells of a row into a byte, the first in the highest bit."""
  return np.packbits(bits, axis=-1)


def unpack(packed: UInt8[np.ndarray, '*N M M/8']) -> Int[np.ndarray, '*N M M']:
  """Unpacks the bits of `pack`, 0 or 1."""
  return np.unpackbits(packed, axis=-1)
