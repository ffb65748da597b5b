"""Mask results on the host: probabilities over a box become pixels of the image, and run lengths.

NumPy alone, so that processes that write results need no accelerator. Only the window around a box is computed,
and run lengths are made from it without an image-sized array. The matrix products are too small for several
threads: processes that run side by side are best started with OPENBLAS_NUM_THREADS=1.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

Window = tuple[Bool[np.ndarray, 'h w'], tuple[int, int]]


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
  box = np.asarray(box, np.float32)
  x0, y0, x1, y1 = (float(c) for c in box)
  if not (np.isfinite(box).all() and x1 > x0 and y1 > y0):
    return np.zeros((0, 0), np.float32), (0, 0)
  left, top = max(int(np.floor(x0)) - 1, 0), max(int(np.floor(y0)) - 1, 0)
  right, bottom = min(int(np.ceil(x1)) + 1, width), min(int(np.ceil(y1)) + 1, height)
  if left >= right or top >= bottom:
    return np.zeros((0, 0), np.float32), (0, 0)
  size_y, size_x = probabilities.shape
  wy = _interpolation(top, bottom, box[1], box[3], size_y)
  wx = _interpolation(left, right, box[0], box[2], size_x)
  return wy @ probabilities.astype(np.float32) @ wx.T, (top, left)


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
  columns = np.zeros((window_width, window_height + 1), np.int8)  # a zero below each column ends its last run
  columns[:, :window_height] = np.asarray(window).T != 0
  steps = np.flatnonzero(np.diff(columns.reshape(-1), prepend=np.int8(0)))  # where runs begin and end, in turn
  column, row = np.divmod(steps, window_height + 1)
  ends = (x + column) * height + y + row
  # A run up to the image's last row goes on in the next column if that begins with one.
  joined = np.flatnonzero(ends[1:-1:2] == ends[2::2])
  ends = np.delete(ends, np.concatenate([2 * joined + 1, 2 * joined + 2]))
  counts = np.diff(ends, prepend=0, append=height * width)
  if len(counts) > 1 and counts[-1] == 0:
    counts = counts[:-1]
  return {'size': [height, width], 'counts': _compress(counts)}


def _interpolation(first, last, begin, end, size):
  """[pixels, cells]: weights of `size` cells between `begin` and `end` at the centres of pixels first..last - 1."""
  # In grid_sample's order of operations and float32: the results are compared with a threshold.
  pixels = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
  normalised = (pixels - begin) / (end - begin) * 2 - 1
  position = ((normalised + 1) * size - 1) / 2
  return np.maximum(1 - np.abs(position[:, None] - np.arange(size, dtype=np.float32)), np.float32(0))


def _compress(counts):
  """COCO's bytes: differences to the count two before, five bits a character, low bits first."""
  values = counts.copy()
  values[3:] -= counts[1:-2]
  rest = values[:, None] >> (5 * np.arange(8))  # arithmetic shift: negative values end in -1, others in 0
  digits, rest = rest[:, :-1] & 31, rest[:, 1:]
  more = np.where(digits & 16, rest != -1, rest != 0)
  present = np.concatenate([np.ones_like(more[:, :1]), np.cumprod(more, axis=1)[:, :-1].astype(bool)], axis=1)
  return (digits + 32 * more + 48).astype(np.uint8)[present].tobytes()
