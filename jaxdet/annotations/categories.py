"""Reads the category table of an annotation file."""

from typing import Any

from jaxdet.annotations.fields import Fields, Mismatch, count, integer, text
from jaxdet.annotations.files import entries
from jaxdet.annotations.problems import Problems
from jaxdet.annotations.unique_ids import UniqueIds
from jaxdet.structures import Category

FREQUENCIES = ('', 'r', 'c', 'f')  # of LVIS: rare, common, frequent


def read_categories(path: str) -> tuple[Category, ...]:
  """Reads the categories of an annotation file or of splits of VOC, sorted by id; raises as `read_listed`."""
  return tuple(sorted(read_listed(path), key=lambda category: category.id))


def read_listed(path: str) -> tuple[Category, ...]:
  """Reads the categories in the order of the annotation file.

  Raises:
    ValueError: there are none, or entries have problems; the message lists them.
  """
  problems = Problems(path)
  categories = UniqueIds('category', parse_category, problems)
  for _, entry in entries(path, ('categories',), problems):
    categories.add(entry)
  category_table(categories, problems)
  problems.raise_if_any()
  return tuple(categories.found.values())


def category_table(categories: UniqueIds[Category], problems: Problems) -> tuple[Category, ...]:
  """Sorts categories by id; a table without entries is a problem."""
  if not categories.count:
    problems.add('has no categories: is it an annotation file of LVIS or COCO?')
  return tuple(categories.found[id] for id in sorted(categories.found))


def parse_category(entry: Any, position: int, problems: Problems) -> Category | None:
  """Parses an entry of the list 'categories'; None if it has problems, which are added.

  Args:
    position: of the entry in its list, from 0.
  """
  fields = Fields(entry, 'category', position, problems)
  category = Category(
    id=fields.required('id', integer),
    name=fields.required('name', text),
    frequency=fields.optional('frequency', _frequency, ''),
    image_count=fields.optional('image_count', count, 0),
  )
  return category if fields.good else None


def _frequency(value: Any) -> str:
  if value not in FREQUENCIES:
    raise Mismatch("one of 'r', 'c' and 'f' (rare, common, frequent)")
  return value
