"""Ragged arrays: rows of different lengths in two arrays, without a Python object per row."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ragged:
  """Ragged array; row i is `values[offsets[i] : offsets[i + 1]]`."""

  values: np.ndarray  # [sum of lengths, ...]
  offsets: np.ndarray  # int64 [rows + 1], ascending from 0

  @classmethod
  def from_lengths(cls, values: np.ndarray, lengths: Sequence[int] | np.ndarray) -> 'Ragged':
    """Cuts `values` into rows of the given lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if offsets[-1] != len(values):
      raise ValueError(f'rows of {offsets[-1]} values altogether, but there are {len(values)}')
    return cls(values, offsets)

  @property
  def lengths(self) -> np.ndarray:
    """Lengths of the rows, int64 [rows]."""
    return np.diff(self.offsets)

  def rows(self) -> np.ndarray:
    """Row of each value, int64 [values]."""
    return np.repeat(np.arange(len(self)), self.lengths)

  def __len__(self) -> int:
    return len(self.offsets) - 1

  def __getitem__(self, row: int) -> np.ndarray:
    if not 0 <= row < len(self):
      raise IndexError(f'row {row} of {len(self)}')
    return self.values[self.offsets[row] : self.offsets[row + 1]]
