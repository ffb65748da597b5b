"""Pastes mask probabilities into the image and encodes them as run lengths, on the host.

NumPy alone, so that processes that write results need no accelerator. Only the window around a box is computed, and
run lengths are made from it without an image-sized array. Windows are computed mask by mask, all other steps for many
masks at once. The matrix products are too small for several threads: start parallel processes with
OPENBLAS_NUM_THREADS=1.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

Window = tuple[Bool[np.ndarray, 'h w'], tuple[int, int]]

GROUP = 32  # masks whose weights are held at once


def paste_probabilities(
  probabilities: Float[np.ndarray, 'S S'], box: Float[np.ndarray, '4'], height: int, width: int
) -> tuple[Float[np.ndarray, 'h w'], tuple[int, int]]:
  """Interpolates a mask over the pixels of an image: (float32 window, (y0, x0) of its first pixel).

  Bilinear at pixel centres with zeros outside the S x S grid (grid_sample with align_corners=False), as Detectron2
  and mmdetection paste. The window is the box and up to two pixels around it, within the image, as theirs is on a
  CPU; it is 0 x 0 for a box that is empty, not finite, or outside the image.

  Args:
    probabilities: [S, S], the mask over the box.
    box: xyxy in pixels of the image.
    height, width: of the image.
  """
  boxes = np.asarray(box, np.float32)[None]
  windows = _windows(boxes, height, width)
  rows, columns = _interpolations(boxes, windows, *probabilities.shape)
  return _paste(np.asarray(probabilities, np.float32), rows, columns).T, (int(windows[0, 0]), int(windows[0, 1]))


def paste_window(
  probabilities: Float[np.ndarray, 'S S'], box: Float[np.ndarray, '4'], height: int, width: int, threshold: float = 0.5
) -> Window:
  """The pixels with a probability of at least `threshold`: (bool window, (y0, x0)); see `paste_probabilities`."""
  window, origin = paste_probabilities(probabilities, box, height, width)
  return window >= threshold, origin


def paste_mask(
  probabilities: Float[np.ndarray, 'S S'], box: Float[np.ndarray, '4'], height: int, width: int, threshold: float = 0.5
) -> UInt8[np.ndarray, 'H W']:
  """The mask as an image of zeros and ones; see `paste_window`."""
  window, (y, x) = paste_window(probabilities, box, height, width, threshold)
  mask = np.zeros((height, width), np.uint8)
  mask[y : y + window.shape[0], x : x + window.shape[1]] = window
  return mask


def encode_rle(window: Bool[np.ndarray, 'h w'], origin: tuple[int, int], height: int, width: int) -> dict:
  """Run lengths of an image that is zero but for a window, as `pycocotools.mask.encode` gives them.

  Args:
    window: nonzero where the mask is.
    origin: (y0, x0) of the window's first pixel; the window lies within the image.
    height, width: of the image.

  Returns:
    {'size': [height, width], 'counts': bytes}: runs down the columns, compressed.
  """
  (y, x), (window_height, window_width) = origin, window.shape
  if min(y, x) < 0 or y + window_height > height or x + window_width > width:
    raise ValueError(f'a window of {window_height} x {window_width} at {origin} does not lie in {height} x {width}')
  place = np.array([[y, x, y + window_height, x + window_width]])
  return _run_lengths([_steps(np.asarray(window).T != 0)], place, height, width)[0]


def paste_and_encode(
  probabilities: Float[np.ndarray, 'K S S'],
  boxes: Float[np.ndarray, 'K 4'],
  height: int,
  width: int,
  threshold: float = 0.5,
) -> list[dict]:
  """Run lengths of all masks of an image; see `paste_window`, `encode_rle`."""
  probabilities, boxes = np.asarray(probabilities, np.float32), np.asarray(boxes, np.float32)
  windows = _windows(boxes, height, width)
  steps = []
  for first in range(0, len(boxes), GROUP):
    group = slice(first, first + GROUP)
    rows, columns = _interpolations(boxes[group], windows[group], *probabilities.shape[1:])
    row_ends, column_ends = (np.cumsum(windows[group, axis + 2] - windows[group, axis])[:-1] for axis in (0, 1))
    for parts in zip(probabilities[group], np.split(rows, row_ends), np.split(columns, column_ends), strict=True):
      steps.append(_steps(_paste(*parts) >= threshold))
  return _run_lengths(steps, windows, height, width)


def _paste(mask: Float[np.ndarray, 'S S'], rows: Float[np.ndarray, 'h S'], columns: Float[np.ndarray, 'w S']):
  """[w, h]: the window column by column, as run lengths go."""
  return columns @ (rows @ mask).T


def _windows(boxes: Float[np.ndarray, 'K 4'], height: int, width: int) -> Int[np.ndarray, 'K 4']:
  """(top, left, bottom, right) of the pixels computed for each box; zeros if there are none."""
  good = np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
  x0, y0, x1, y1 = np.where(good[:, None], boxes, 0).T.astype(np.float64)
  left, top = np.floor(x0) - 1, np.floor(y0) - 1
  right, bottom = np.ceil(x1) + 1, np.ceil(y1) + 1
  windows = np.stack([top, left, bottom, right], axis=1).clip(0, [height, width, height, width]).astype(np.int64)
  return np.where((good & (windows[:, 2:] > windows[:, :2]).all(1))[:, None], windows, 0)


def _interpolations(boxes, windows, size_y, size_x):
  """([rows, S], [columns, S]): the weights of a mask's cells at the rows and columns of all windows."""
  return tuple(
    _interpolation(windows[:, axis], windows[:, axis + 2], boxes[:, 1 - axis], boxes[:, 3 - axis], size)
    for axis, size in ((0, size_y), (1, size_x))
  )


def _interpolation(first, last, begin, end, size):
  """[pixels, cells]: weights of `size` cells between `begin` and `end` at the centres of pixels first..last - 1."""
  # In grid_sample's order of operations and float32: the results are compared with a threshold.
  length = last - first
  owner = np.repeat(np.arange(len(length)), length)
  pixels = np.arange(len(owner)) - np.repeat(np.cumsum(length) - length - first, length)
  begin, end = begin[owner], end[owner]
  normalised = (pixels.astype(np.float32) + np.float32(0.5) - begin) / (end - begin) * 2 - 1
  position = ((normalised + 1) * size - 1) / 2
  weights = np.zeros((len(owner), size + 2), np.float32)  # with a cell before the first and one after the last
  before = np.floor(position)
  for cell in (before, before + 1):
    column = cell.clip(-1, size).astype(np.int64) + 1
    weights[np.arange(len(owner)), column] = np.maximum(1 - np.abs(position - cell), np.float32(0))
  return weights[:, 1:-1]


def _steps(inside: Bool[np.ndarray, 'w h']) -> Int[np.ndarray, 'E']:
  """Positions where runs begin and end, in columns of h + 1 pixels: a zero below each column ends its last run."""
  width, height = inside.shape
  pixels = np.zeros(1 + width * (height + 1), np.bool_)
  pixels[1:].reshape(width, height + 1)[:, :height] = inside
  return np.flatnonzero(pixels[1:] != pixels[:-1])


def _run_lengths(steps: Sequence[Int[np.ndarray, 'E']], windows: Int[np.ndarray, 'K 4'], height: int, width: int):
  """K run lengths from the steps in each mask's window."""
  lengths = np.array([len(each) for each in steps], np.int64)
  owner = np.repeat(np.arange(len(steps)), lengths)
  top, left, bottom, _ = windows[owner].T
  column, row = np.divmod(np.concatenate([np.zeros(0, np.int64), *steps]), bottom - top + 1)
  ends = (left + column) * height + top + row
  # A run up to the image's last row continues in the next column if that begins with a run.
  joined = np.flatnonzero((ends[1:-1:2] == ends[2::2]) & (owner[1:-1:2] == owner[2::2]))
  kept = np.ones(len(ends), np.bool_)
  kept[2 * joined + 1] = kept[2 * joined + 2] = False
  ends, owner = ends[kept], owner[kept]
  # Each mask's last run ends with the image; it is dropped if it is empty and not the only run.
  last = np.cumsum(np.bincount(owner, minlength=len(steps)))
  ends = np.insert(ends, last, height * width)
  owner = np.insert(owner, last, np.arange(len(steps)))
  number = np.arange(len(ends)) - np.concatenate([[0], last + np.arange(1, len(steps) + 1)])[owner]  # in its mask
  counts = np.where(number, np.diff(ends, prepend=0), ends)
  kept = (ends < height * width) | (counts > 0) | (number == 0)
  counts, owner, number = counts[kept], owner[kept], number[kept]
  encoded, sizes = _compress(counts, number)
  stops = np.cumsum(np.bincount(owner, sizes, len(steps)).astype(np.int64)).tolist()
  return [{'size': [height, width], 'counts': encoded[a:b]} for a, b in itertools.pairwise([0, *stops])]


def _compress(counts, number):
  """(COCO's bytes, number of bytes per run): differences to the run two before, five bits a byte, low bits first."""
  values = counts.copy()
  values[2:] -= np.where(number[2:] > 2, counts[:-2], 0)
  magnitude = np.where(values < 0, ~values, values)  # four bits of the last byte and five of each before hold it
  sizes = np.ones(len(values), np.int64)
  while (longer := magnitude >> (5 * sizes.max(initial=1) - 1) > 0).any():
    sizes[longer] += 1
  place = np.cumsum(sizes) - sizes
  encoded = np.zeros(sizes.sum(), np.uint8)
  for digit in range(sizes.max(initial=0)):
    rows = np.flatnonzero(sizes > digit)
    more = sizes[rows] > digit + 1
    encoded[place[rows] + digit] = ((values[rows] >> 5 * digit) & 31) + 32 * more + 48
  return encoded.tobytes(), sizes
