"""Reads an annotation file entry by entry: its tables of categories and images first, then its objects.

This is the one reader of LVIS's, COCO's and VOC's annotations. Training keeps columns of float32 (`columns`),
evaluation the file's own numbers.
"""

import array
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from jaxdet.annotations.categories import category_table, parse_category
from jaxdet.annotations.image_entries import ImageEntry, parse_image
from jaxdet.annotations.object_entries import ObjectEntry, ObjectParser
from jaxdet.annotations.problems import Problems
from jaxdet.annotations.unique_ids import UniqueIds
from jaxdet.structures import Category

# (name, entry) of all lists of these names in a file, again at each call.
Lists = Callable[[tuple[str, ...]], Iterator[tuple[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Tables:
  """Categories and images of a file, without those that have problems."""

  categories: tuple[Category, ...]  # sorted by id; a label is a position in it
  images: Sequence[ImageEntry]  # in the file's order
  unread_categories: set[int]  # ids of those with problems
  unread_images: set[int]

  @property
  def label_of(self) -> dict[int, int]:
    """Label of each category by its id."""
    return {category.id: label for label, category in enumerate(self.categories)}


def read_tables(lists: Lists, problems: Problems) -> Tables:
  """Reads the lists 'categories' and 'images'."""
  categories = UniqueIds('category', parse_category, problems)
  images = UniqueIds('image', parse_image, problems)
  of_list = {'categories': categories, 'images': images}
  for name, entry in lists(tuple(of_list)):
    of_list[name].add(entry)
  if not images.count and not problems.count:
    problems.add('has no images: is it an annotation file of LVIS or COCO?')
  tables = Tables(category_table(categories, problems), list(images.found.values()), categories.unread, images.unread)
  known = tables.label_of.keys() | tables.unread_categories
  for image in tables.images:
    for key in ('neg_category_ids', 'not_exhaustive_category_ids', 'pos_category_ids'):
      if unknown := [id for id in getattr(image, key) or () if id not in known]:
        problems.add(f'image {image.id} has category {unknown[0]} in {key}, which is not in the table')
  return tables


def read_objects(lists: Lists, tables: Tables, problems: Problems) -> Iterator[ObjectEntry]:
  """Yields the objects of the list 'annotations' in the file's order, without those that have problems."""
  parser = ObjectParser(tables.images, tables.label_of, tables.unread_images, tables.unread_categories, problems)
  ids = array.array('q')
  for position, (_, entry) in enumerate(lists(('annotations',))):
    parsed = parser.parse(entry, position)
    if parsed is not None:
      ids.append(parsed.id)
      yield parsed
  found, counts = np.unique(np.asarray(ids, np.int64), return_counts=True)
  for id, times in zip(found[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
    problems.add(f'annotation id {id} is defined {times} times: ids must be unique')
