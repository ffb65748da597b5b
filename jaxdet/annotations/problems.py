"""Collects the problems of a data set's files, so that all are told at once."""

import reprlib
from typing import Any

SHOWN = 20  # lines of an error message
KEPT = 10_000  # lines in memory


class _JsonWords(reprlib.Repr):
  """Short text of values in the words of JSON."""

  def repr_NoneType(self, value: None, level: int) -> str:
    return 'null'

  def repr_bool(self, value: bool, level: int) -> str:
    return str(value).lower()


_SHORT = _JsonWords()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlist = _SHORT.maxdict = 6
_SHORT.maxlevel = 3


class Problems:
  """Problems of a file, one line each, in the order in which they are found.

  Attributes:
    source: the file, for the message.
    count: number of all problems.
    lines: the first KEPT of them.
  """

  def __init__(self, source: str):
    self.source = source
    self.count = 0
    self.lines: list[str] = []

  def add(self, line: str) -> None:
    """Adds a problem: the entry, the field, its value, and what is right."""
    self.count += 1
    if len(self.lines) < KEPT:
      self.lines.append(line)

  def raise_if_any(self) -> None:
    """Raises a ValueError with the first SHOWN problems and the number of all, if there are any."""
    if not self.count:
      return
    if self.count == 1:
      raise ValueError(f'{self.source}: {self.lines[0]}')
    first = f'; the first {SHOWN}' if self.count > SHOWN else ''
    raise ValueError(f'{self.source} has {self.count} problems{first}:\n  ' + ';\n  '.join(self.lines[:SHOWN]))


def shortened(value: Any) -> str:
  """A value of a file in one short line."""
  return _SHORT.repr(value)
