"""Checks the fields of an entry of an annotation file where they are read.

Ids and sizes are integers; text of digits and numbers such as 7.0 are read as integers, in every field alike. An
optional field that is null counts as absent.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from jaxdet.annotations.json_stream import RepeatedKeys
from jaxdet.annotations.problems import Problems, shortened

T = TypeVar('T')
INTEGER = re.compile(r'-?[0-9]{1,19}')
NUMBERS = frozenset((int, float))  # types of numbers in a file; bool is none of them
_NO_OBJECT: Mapping[str, Any] = {}  # stands for an entry that is no object, all of whose fields are missing


class Mismatch(ValueError):
  """A value is not what is expected; the message says what is."""


class Fields:
  """Fields of one entry; a problem with one is added to `problems`, and the value is then None.

  Args:
    entry: as read from the file.
    kind: of entry, such as 'annotation'.
    position: of the entry in its list, from 0, for messages about entries without an id.
    problems: gets those of the fields.
    id_key: the field with the entry's id, for messages.
  """

  __slots__ = ('entry', '_kind', '_position', '_problems', '_id_key', '_before')

  def __init__(self, entry: Any, kind: str, position: int, problems: Problems, id_key: str = 'id'):
    self._kind, self._position, self._problems, self._id_key = kind, position, problems, id_key
    self._before = problems.count
    self.entry: Mapping[str, Any] = entry
    if isinstance(entry, RepeatedKeys):
      self.problem(f"has '{entry.repeated}' twice: remove one")
    elif type(entry) is not dict:
      problems.add(f'{kind} at position {position} is {shortened(entry)}: expected an object {{..}}')
      self.entry = _NO_OBJECT

  @property
  def good(self) -> bool:
    """False if the entry has had a problem."""
    return self._problems.count == self._before

  @property
  def name(self) -> str:
    """The entry in messages, such as 'annotation 7'."""
    if self.entry.get(self._id_key) is None:
      return f'{self._kind} at position {self._position}'
    return f'{self._kind} {shortened(self.entry[self._id_key])}'

  def problem(self, text: str) -> None:
    """Adds a problem; `text` goes on after the entry's name."""
    self._problems.add(f'{self.name} {text}')

  def required(self, key: str, check: Callable[[Any], T]) -> T | None:
    """Reads a field by `check`, which returns its value or raises Mismatch."""
    try:
      return check(self.entry[key])
    except KeyError:
      if self.entry is not _NO_OBJECT:
        self.problem(f"has no '{key}'")
    except Mismatch as mismatch:
      self.problem(f'has {key} {shortened(self.entry[key])}: expected {mismatch}')
    return None

  def optional(self, key: str, check: Callable[[Any], T], default: T) -> T | None:
    """Reads a field that may be absent or null."""
    value = self.entry.get(key)
    return default if value is None else self.required(key, check)


def integer(value: Any) -> int:
  """Reads an integer of 64 bits, also from text of digits or a float without a fraction."""
  if type(value) is str and INTEGER.fullmatch(value):
    value = int(value)
  elif type(value) is float and value.is_integer() and abs(value) <= 2**53:
    value = int(value)
  if type(value) is not int or not -(2**63) <= value < 2**63:
    raise Mismatch('an integer')
  return value


def count(value: Any) -> int:
  """Reads an integer from 0."""
  return _within(value, 0, 2**63, 'an integer from 0')


def side(value: Any) -> int:
  """Reads a height or width in pixels."""
  return _within(value, 1, 2**31, 'a positive integer, in pixels')


def flag(value: Any) -> bool:
  """Reads 0, 1, false or true."""
  return value if type(value) is bool else _within(value, 0, 2, '0 or 1') == 1


def _within(value: Any, first: int, end: int, expected: str) -> int:
  """Reads an integer from `first` to before `end`."""
  try:
    value = integer(value)
  except Mismatch:
    raise Mismatch(expected) from None
  if not first <= value < end:
    raise Mismatch(expected)
  return value


def text(value: Any) -> str:
  """Reads text that names something."""
  if type(value) is not str or not value or '\0' in value or not _has_bytes(value):
    raise Mismatch('text of at least one character')
  return value


def _has_bytes(value: str) -> bool:
  """False for half of a surrogate pair, which JSON can hold and no file name."""
  try:
    value.encode()
  except UnicodeEncodeError:
    return False
  return True


def finite(values: Any) -> list[float]:
  """Reads a list of finite numbers."""
  if type(values) is not list or not are_numbers(values) or not _are_finite(values):
    raise Mismatch('a list of finite numbers')
  return values


def number(value: Any) -> float:
  """Reads a finite number."""
  if not are_numbers([value]) or not _are_finite([value]):
    raise Mismatch('a finite number')
  return float(value)


def are_numbers(values: list) -> bool:
  """True for numbers of a file, or NumPy's float64, which is a float."""
  types = set(map(type, values))
  return types <= NUMBERS or all(issubclass(each, float) for each in types - NUMBERS)


def _are_finite(values: list[float]) -> bool:
  try:
    return math.isfinite(sum(values))  # as no sum with NaN or infinity is
  except OverflowError:  # integers beyond the largest float
    return False
