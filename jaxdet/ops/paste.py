"""Mask results on the host: from probabilities over a box to pixels of the image and to RLE.

NumPy only: this runs in the threads and processes that write results. Only the window of pixels around the
box is ever computed.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from pycocotools import mask as coco_mask


def paste_window(
  probabilities: Float[np.ndarray, 'S S'],
  box: Float[np.ndarray, '4'],
  height: int,
  width: int,
  threshold: float = 0.5,
) -> tuple[Bool[np.ndarray, 'h w'], tuple[int, int]]:
  """(the mask within a window around the box, the (y, x) of the window's first pixel).

  As Detectron2 and mmdetection paste: the probabilities are sampled bilinearly at pixel centres, are zero
  beyond the centres of their outer cells by one cell, and count from `threshold` on. A box without area or
  outside the image gives an empty window.

  Args:
    probabilities: of the mask over the box.
    box: xyxy in pixels of the image.
    height, width: of the image.
    threshold: from which on a pixel belongs to the mask.
  """
  soft, origin = soft_window(probabilities, box, height, width)
  return soft >= threshold, origin


def soft_window(
  probabilities: Float[np.ndarray, 'S S'], box: Float[np.ndarray, '4'], height: int, width: int
) -> tuple[Float[np.ndarray, 'h w'], tuple[int, int]]:
  """`paste_window` before the threshold."""
  x1, y1, x2, y2 = (float(v) for v in box)
  if not (np.isfinite([x1, y1, x2, y2]).all() and x2 > x1 and y2 > y1):
    return np.zeros((0, 0), np.float32), (0, 0)
  cells = probabilities.shape[0]
  # Sampling reaches half a cell beyond the box.
  top, rows = _axis_weights(y1, y2, cells, height)
  left, columns = _axis_weights(x1, x2, cells, width)
  return rows @ probabilities.astype(np.float32) @ columns.T, (top, left)


def paste_mask(
  probabilities: Float[np.ndarray, 'S S'],
  box: Float[np.ndarray, '4'],
  height: int,
  width: int,
  threshold: float = 0.5,
) -> UInt8[np.ndarray, 'H W']:
  """The mask as a bitmap of the whole image; arguments as for `paste_window`."""
  window, (y, x) = paste_window(probabilities, box, height, width, threshold)
  mask = np.zeros((height, width), np.uint8)
  mask[y : y + window.shape[0], x : x + window.shape[1]] = window
  return mask


def encode_rle(window: Bool[np.ndarray, 'h w'], origin: tuple[int, int], height: int, width: int) -> dict:
  """COCO's compressed RLE {'size': [height, width], 'counts': bytes} of a mask given by a window of it.

  Args:
    window: the mask where it can be set.
    origin: (y, x) of the window's first pixel.
    height, width: of the image.
  """
  y, x = origin
  # Runs go down the columns. Zeros above and below a column end its runs within it ...
  columns = np.pad(window.T.astype(np.int8), ((0, 0), (1, 1)))
  column, change = np.nonzero(np.diff(columns, axis=1))
  edges = (column + x) * height + y + change
  # ... but where one column's last run touches the next column's first, the two are one.
  touches = np.flatnonzero(edges[1:-1:2] == edges[2::2])
  edges = np.delete(edges, np.concatenate([2 * touches + 1, 2 * touches + 2]))
  ends = edges if edges.size and edges[-1] == height * width else np.append(edges, height * width)
  counts = np.diff(ends, prepend=0)
  return coco_mask.frPyObjects({'size': [height, width], 'counts': counts.tolist()}, height, width)


def _axis_weights(low: float, high: float, cells: int, size: int) -> tuple[int, Float[np.ndarray, 'n S']]:
  """(first pixel, each pixel's weights of the cells): bilinear, zero beyond the outer cells."""
  margin = 0.5 * (high - low) / cells + 1
  first = int(np.clip(np.floor(low - margin), 0, size))
  last = int(np.clip(np.ceil(high + margin), first, size))
  # In upstream's order of operations, from pixels to -1..1 to cells, so that thresholds fall the same way.
  pixels = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
  normalized = (pixels - np.float32(low)) / (np.float32(high) - np.float32(low)) * 2 - 1
  position = ((normalized + 1) * cells - 1) / 2
  distance = np.abs(position[:, None] - np.arange(cells, dtype=np.float32))
  return first, np.maximum(1 - distance, 0).astype(np.float32)
