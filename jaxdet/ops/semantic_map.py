"""Computes the classes of an image's pixels on the host, from logits on a grid over the canvas.

In NumPy and SciPy, for the same reason as ops/paste.py. As upstream, logits are interpolated to the canvas and then to
the file before the argmax: after it, borders would be off by some pixels.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

BAND = 64  # rows of the file processed at once, to limit memory


def semantic_classes(
  logits: Float[np.ndarray, 'h w K'], canvas: tuple[int, int], image_size: tuple[int, int], size: tuple[int, int]
) -> Int[np.ndarray, 'H W']:
  """Class of every pixel of an image of `size`, int32; see `interpolated_logits`."""
  rows, columns = _weights(logits.shape, canvas, image_size, size)
  bands = [_interpolated(logits, rows[first : first + BAND], columns) for first in range(0, size[0], BAND)]
  return np.concatenate([band.argmax(-1).astype(np.int32) for band in bands])


def interpolated_logits(
  logits: Float[np.ndarray, 'h w K'], canvas: tuple[int, int], image_size: tuple[int, int], size: tuple[int, int]
) -> Float[np.ndarray, 'H W K']:
  """Logits at the centres of an image's pixels, twice bilinear (torch's `interpolate` with align_corners=False).

  Args:
    logits: on a grid that covers the canvas.
    canvas: (height, width) in pixels.
    image_size: (height, width) of the image at the top left of the canvas; the rest is ignored.
    size: (height, width) of the image's file.
  """
  return _interpolated(logits, *_weights(logits.shape, canvas, image_size, size))


def _weights(grid, canvas, image_size, size) -> tuple[csr_array, csr_array]:
  """Interpolation weights of the grid's rows for rows of the file, and of its columns for columns of the file."""
  return tuple(
    (_bilinear(size[axis], image_size[axis]) @ _bilinear(canvas[axis], grid[axis])[: image_size[axis]]).tocsr()
    for axis in (0, 1)
  )


def _bilinear(size: int, cells: int) -> csr_array:
  """Bilinear weights [size, cells] of grid cells at the centres of `size` pixels of the same extent."""
  position = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / size) - np.float32(0.5)
  position = position.clip(0, cells - 1)
  before = np.floor(position).astype(np.int64)
  after = (before + 1).clip(max=cells - 1)
  share = position - before
  pixels = np.arange(size)
  places = np.concatenate([pixels, pixels]), np.concatenate([before, after])
  return csr_array((np.concatenate([1 - share, share]), places), shape=(size, cells))


def _interpolated(logits, rows: csr_array, columns: csr_array) -> Float[np.ndarray, 'H W K']:
  height, width, classes = logits.shape
  by_row = (rows @ np.asarray(logits, np.float32).reshape(height, width * classes)).reshape(-1, width, classes)
  by_column = columns @ by_row.transpose(1, 0, 2).reshape(width, -1)
  return by_column.reshape(-1, len(by_row), classes).transpose(1, 0, 2)
