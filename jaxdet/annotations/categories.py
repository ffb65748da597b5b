"""Reads the category table of an annotation file."""

from collections.abc import Mapping
from typing import Any

from jaxdet.annotations.files import entries
from jaxdet.structures import Category


def read_categories(path: str) -> tuple[Category, ...]:
  """Reads the categories of an annotation file or of splits of VOC, sorted by id; raises as `read_listed`."""
  return tuple(sorted(read_listed(path), key=lambda category: category.id))


def read_listed(path: str) -> tuple[Category, ...]:
  """Reads the categories in the order of the annotation file.

  Raises:
    ValueError: there are none, an id is used twice, or an entry has no id or name; the message says which.
  """
  categories: dict[int, Category] = {}
  for entry in entries(path, 'categories'):
    category = parse_category(entry, path)
    if category.id in categories:
      raise ValueError(f'{path}: category id {category.id} is defined twice')
    categories[category.id] = category
  if not categories:
    raise ValueError(f'{path} has no categories: is it an annotation file of LVIS or COCO?')
  return tuple(categories.values())


def parse_category(entry: Mapping[str, Any], source: str) -> Category:
  """Parses an entry of the list 'categories'; `source` is the file, for errors."""
  return Category(
    id=required(entry, 'id', source, 'category'),
    name=required(entry, 'name', source, 'category'),
    frequency=entry.get('frequency', ''),
    image_count=entry.get('image_count', 0),
  )


def required(entry: Mapping[str, Any], key: str, source: str, kind: str) -> Any:
  """Returns a required value of an entry; raises a ValueError that names the file and the entry if it is missing."""
  if key not in entry:
    raise ValueError(f"{source}: {kind} {entry.get('id', entry)} has no '{key}'")
  return entry[key]
