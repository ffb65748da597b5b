"""Ranges of values, each with the words for it: whole numbers, numbers, tuples of them."""

import dataclasses
import math
import numbers
import re
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Range:
  """Values that a setting may have."""

  words: str  # as in 'give a whole number from 1'
  holds: Callable[[Any], bool]


def whole(least: int, most: int | None = None) -> Range:
  """Whole numbers from `least` to `most`; None: without end. A fraction, a text or a truth value is none."""

  def holds(value: Any) -> bool:
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_whole and least <= value and (most is None or value <= most)

  return Range(f'a whole number from {least}' + ('' if most is None else f' to {most}'), holds)


def number(
  least: float | None = None, most: float | None = None, *, above: float | None = None, below: float | None = None
) -> Range:
  """Finite numbers from `least` or above `above`, to `most` or below `below`; None: without end."""
  ends = [
    ('from', least, lambda value: value >= least),
    ('above', above, lambda value: value > above),
    ('to', most, lambda value: value <= most),
    ('below', below, lambda value: value < below),
  ]
  given = [(word, end, holds) for word, end, holds in ends if end is not None]
  words = ' '.join(['a number', *(f'{word} {end:g}' for word, end, _ in given)]) if given else 'a finite number'
  return Range(words, lambda value: is_finite(value) and all(holds(value) for _, _, holds in given))


def one_of(*choices: str) -> Range:
  """One of some texts."""
  return Range(f'one of {", ".join(map(repr, choices))}', lambda value: isinstance(value, str) and value in choices)


def text() -> Range:
  """Texts, not empty."""
  return Range('a text', lambda value: isinstance(value, str) and bool(value))


def several(item: Range, least: int = 1, most: int | None = None, *, rising: bool = False) -> Range:
  """Tuples of `least` to `most` values; `rising`: each value is above the one before it."""
  if least == most:
    count = f'{least} values'
  elif most is None:
    count = 'any number of values' if not least else f'at least {least} value{"s" if least > 1 else ""}'
  else:
    count = f'{least} to {most} values'
  words = f'a tuple of {count}, each {item.words}' + (', in rising order' if rising else '')

  def holds(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) < least or (most is not None and len(value) > most):
      return False
    if not all(item.holds(each) for each in value):
      return False
    return not rising or all(a < b for a, b in zip(value, value[1:], strict=False))

  return Range(words, holds)


def bounds(item: Range) -> Range:
  """Pairs of a least and a largest value."""
  pair = several(item, 2, 2)
  return Range(f'(least, largest), each {item.words}', lambda value: pair.holds(value) and value[0] <= value[1])


def one_or_several(item: Range) -> Range:
  """A value, or a tuple of values, or of such tuples, none of them empty."""

  def holds(value: Any) -> bool:
    if isinstance(value, list | tuple):
      return bool(value) and all(map(holds, value))
    return item.holds(value)

  return Range(f'{item.words}, or a tuple of such', holds)


def or_none(item: Range) -> Range:
  """A value or None."""
  return Range(f'{item.words}, or None', lambda value: value is None or item.holds(value))


def pattern() -> Range:
  """Regular expressions."""

  def holds(value: Any) -> bool:
    try:
      re.compile(value)
    except (re.error, TypeError):
      return False
    return isinstance(value, str)

  return Range('a regular expression', holds)


def factors_of_patterns(factor: Range) -> Range:
  """Tuples of pairs: a regular expression, and a factor."""
  of_path = pattern()

  def holds(value: Any) -> bool:
    pairs = isinstance(value, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value)
    return pairs and all(of_path.holds(first) and factor.holds(second) for first, second in value)

  return Range(f'a tuple of pairs, each {of_path.words} and {factor.words}', holds)


def is_finite(value: Any) -> bool:
  """True for a number that is neither NaN nor infinite; a truth value is no number."""
  return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
