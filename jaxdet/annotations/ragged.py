"""Rows of different lengths as two arrays: what a list of lists is, without a Python object a row."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ragged:
  """Row i is `values[offsets[i] : offsets[i + 1]]`."""

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
    """int64 [rows]."""
    return np.diff(self.offsets)

  def rows(self) -> np.ndarray:
    """int64 [values]: the row each value belongs to."""
    return np.repeat(np.arange(len(self)), self.lengths)

  def __len__(self) -> int:
    return len(self.offsets) - 1

  def __getitem__(self, row: int) -> np.ndarray:
    if not 0 <= row < len(self):
      raise IndexError(f'row {row} of {len(self)}')
    return self.values[self.offsets[row] : self.offsets[row + 1]]
