"""Parts by name: a table a role, and one clear error for a name that is in none."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

Part = TypeVar('Part')


def find(table: Mapping[str, Part], name: str, role: str) -> Part:
  """The part of a table.

  Args:
    table: parts by name.
    name: of the part, as a config has it.
    role: of the parts in this table, for the error.

  Raises:
    ValueError: there is none of this name; says the nearest.
  """
  if name not in table:
    raise ValueError(f"unknown {role} '{name}'; the nearest is '{nearest(name, table)}', of {', '.join(sorted(table))}")
  return table[name]


def nearest(name: str, known: Iterable[str]) -> str:
  """The known name that is most like this one; '' where none is known."""
  return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)), '')


def find_with_settings(
  table: Mapping[str, Part], settings: Mapping[str, Any], role: str
) -> tuple[Part, dict[str, Any]]:
  """The part that `settings` name, and the rest of them; as `find`."""
  rest = {key: value for key, value in settings.items() if key != 'name'}
  return find(table, settings['name'], role), rest
