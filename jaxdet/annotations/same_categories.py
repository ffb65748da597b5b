"""Compares tables of categories: a label must have one meaning wherever two tables meet.

A label is a position in a table sorted by id. Two tables agree if they have the same ids and the same names at every
position. Names are compared exactly: 'dining table' and 'diningtable', 'Cat' and 'cat', and two Unicode forms of one
text are different names. `data.compare_categories` accepts tables that agree in one of the two alone.
"""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from jaxdet.structures import Category

BOTH, IDS, NAMES = 'ids_and_names', 'ids', 'names'
KEY = 'data.compare_categories'


class Table(NamedTuple):
  """Categories by label, and the file that they are from."""

  categories: Sequence[Category]
  source: str  # for messages


def check_choice(by: str) -> None:
  """Raises ValueError if `by` is not a value of data.compare_categories."""
  if by not in (BOTH, IDS, NAMES):
    raise ValueError(f"unknown {KEY} '{by}': choose '{BOTH}', '{IDS}' or '{NAMES}'")


def differing_labels(first: Sequence[Category], second: Sequence[Category], by: str = BOTH) -> list[int]:
  """Labels with another category in the second table than in the first, or that only one of the tables has.

  Args:
    by: what is compared, 'ids_and_names', 'ids' or 'names'.
  """
  shared = min(len(first), len(second))
  differing = [
    label
    for label in range(shared)
    if (by != NAMES and first[label].id != second[label].id) or (by != IDS and first[label].name != second[label].name)
  ]
  return differing + list(range(shared, max(len(first), len(second))))


def check_same_categories(first: Table, second: Table, by: str, ids_matter: bool = True, advice: str = '') -> None:
  """Checks that two tables agree.

  Args:
    by: data.compare_categories.
    ids_matter: the ids must agree too if `by` is 'names', as among the files of a run, where results name categories by
      id. A checkpoint needs only labels.
    advice: what else can be done, for the message.

  Raises:
    ValueError: they differ. The message has both sources, the first difference, the number of differences, and the
      setting that accepts them, if there is one.
  """
  check_choice(by)
  compared = BOTH if by == NAMES and ids_matter else by
  differing = differing_labels(first.categories, second.categories, compared)
  if not differing:
    return
  total = max(len(first.categories), len(second.categories))
  raise ValueError(
    f'{first.source} and {second.source} have different categories: {_first_difference(first, second, differing[0])}; '
    f'{len(differing)} of {total} labels differ. {_ways_out(first, second, ids_matter)}{advice and f"; {advice}"}'
  )


def _first_difference(first: Table, second: Table, label: int) -> str:
  pair = [table.categories[label] if label < len(table.categories) else None for table in (first, second)]
  names = [category.name for category in pair if category is not None]
  alike = len(names) == 2 and names[0] != names[1] and _normal(names[0]) == _normal(names[1])
  shown = [_shown(category, alike) for category in pair]
  note = ' (the same text in two Unicode forms)' if alike else ''
  return f'label {label} is {shown[0]} in the first and {shown[1]} in the second{note}'


def _shown(category: Category | None, escaped: bool) -> str:
  if category is None:
    return 'not there'
  return f'{ascii(category.name) if escaped else repr(category.name)} (id {category.id})'


def _normal(name: str) -> str:
  return unicodedata.normalize('NFC', str(name))


def _ways_out(first: Table, second: Table, ids_matter: bool) -> str:
  """Sentence with the setting that accepts the difference, or the reason why there is none."""
  counts = len(first.categories), len(second.categories)
  if counts[0] != counts[1]:
    return f'{counts[0]} categories are never the same as {counts[1]}: use files with one table'
  if not differing_labels(first.categories, second.categories, IDS):
    reordered = {c.name for c in first.categories} == {c.name for c in second.categories}
    files = (
      'The same names have other ids: write both files with one table' if reordered else 'Use files with one table'
    )
    return f"{files}; if only the spelling changed, set {KEY}='{IDS}'"
  if differing_labels(first.categories, second.categories, NAMES):
    return 'Ids and names differ: use files with one table'
  if ids_matter:
    return 'The names are the same: give them the same ids, by which results name categories'
  return f"The names are the same: if only the ids changed, set {KEY}='{NAMES}'"
