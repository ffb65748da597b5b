"""Finds parts by name: one table per role, and one clear error for unknown names."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

Part = TypeVar('Part')


def find(table: Mapping[str, Part], name: str, role: str) -> Part:
  """Finds a part in a table.

  Args:
    table: parts by name.
    name: of the part, from a config.
    role: of the table's parts, for the error.

  Raises:
    ValueError: the table has no such name; the message has the nearest one.
  """
  if name not in table:
    raise ValueError(f"unknown {role} '{name}'; the nearest is '{nearest(name, table)}', of {', '.join(sorted(table))}")
  return table[name]


def nearest(name: str, known: Iterable[str]) -> str:
  """The known name most similar to this one; '' if there are none."""
  return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)), '')


def find_with_settings(
  table: Mapping[str, Part], settings: Mapping[str, Any], role: str
) -> tuple[Part, dict[str, Any]]:
  """Finds the part that `settings` name, as `find`; returns it and the remaining settings."""
  rest = {key: value for key, value in settings.items() if key != 'name'}
  return find(table, settings['name'], role), rest
