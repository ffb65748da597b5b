"""Parses the entries of the list 'images' of an annotation file."""

import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxdet.annotations import run_lengths
from jaxdet.annotations.fields import Fields, Mismatch, integer, side, text
from jaxdet.annotations.problems import Problems


class ImageEntry(NamedTuple):
  """An image with its annotations as a whole."""

  id: int
  size: tuple[int, int]  # (height, width), pixels
  file_name: str
  neg_category_ids: Sequence[int] | None  # categories known to be absent (LVIS); None: the file does not say
  not_exhaustive_category_ids: Sequence[int]  # categories of which not every object is annotated (LVIS)
  pos_category_ids: Sequence[int]  # categories present, of images that are labelled as a whole, as Detic's


def parse_image(entry: Any, position: int, problems: Problems) -> ImageEntry | None:
  """Parses an entry; None if it has problems, which are added.

  Args:
    position: of the entry in its list, from 0.
  """
  fields = Fields(entry, 'image', position, problems)
  image = ImageEntry(
    id=fields.required('id', integer),
    size=(fields.required('height', side), fields.required('width', side)),
    file_name=_file_name(fields),
    neg_category_ids=fields.optional('neg_category_ids', ids, None),
    not_exhaustive_category_ids=fields.optional('not_exhaustive_category_ids', ids, ()),
    pos_category_ids=fields.optional('pos_category_ids', ids, ()),
  )
  if fields.good and image.size[0] * image.size[1] > run_lengths.PIXELS:
    fields.problem(
      f'has height {image.size[0]} and width {image.size[1]}: expected at most {run_lengths.PIXELS} pixels'
    )
  return image if fields.good else None


def ids(value: Any) -> Sequence[int]:
  """Checks a list of ids, which becomes an array: there are many."""
  if type(value) is not list:
    raise Mismatch('a list of integers')
  return array.array('q', [integer(each) for each in value]) if value else ()


def _file_name(fields: Fields) -> str | None:
  """File name of an image; for LVIS v1, without `file_name`, the last two parts of `coco_url`."""
  name = fields.optional('file_name', text, '')
  url = fields.optional('coco_url', text, '')
  if fields.good and not name and not url:
    fields.problem("has neither 'file_name' nor 'coco_url'")
  return name or (url and '/'.join(url.split('/')[-2:]))
