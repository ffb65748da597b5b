"""Parses the entries of the list 'annotations' of an annotation file: objects with boxes, masks and keypoints."""

import functools
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

from jaxdet.annotations import run_lengths
from jaxdet.annotations.fields import Fields, Mismatch, finite, flag, integer, number
from jaxdet.annotations.image_entries import ImageEntry
from jaxdet.annotations.polygons import check_reach, polygons
from jaxdet.annotations.problems import Problems

Size = tuple[int, int]  # (height, width), pixels
LARGEST_AREA = 1e10  # pixels squared; COCO's evaluation ignores larger objects


class ObjectEntry(NamedTuple):
  """An object as in the file, checked."""

  id: int
  image: int  # position in the list of images
  size: Size  # of the image
  label: int  # position in the category table
  box: list[float]  # x, y, width, height in pixels
  area: float  # the file's own
  crowd: bool
  ignored: bool
  polygons: list[list[float]]  # x, y, x, y, ..; of at least three points
  dropped_polygons: int  # of fewer points
  rle: bytes  # compressed run lengths over the image; b'': none
  keypoints: list[float]  # x, y, visibility, x, ..; []: none

  @property
  def has_mask(self) -> bool:
    return bool(self.polygons or self.rle)

  @property
  def lost_mask(self) -> bool:
    """True if all of its polygons were dropped."""
    return self.dropped_polygons > 0 and not self.polygons


class ObjectParser:
  """Parses the entries of a file.

  Args:
    images: those of the file.
    label_of: label of each category, by id.
    unread_images, unread_categories: ids of entries with problems: an object of these is left out without a word.
    problems: gets those of the entries.
  """

  def __init__(
    self,
    images: Sequence[ImageEntry],
    label_of: Mapping[int, int],
    unread_images: Set[int],
    unread_categories: Set[int],
    problems: Problems,
  ):
    self._sizes = [image.size for image in images]
    self._position_of = {image.id: position for position, image in enumerate(images)}
    self._label_of, self._problems = label_of, problems
    self._unread_images, self._unread_categories = unread_images, unread_categories
    self._keypoints = 0  # numbers of an object's keypoints; 0: not known yet

  def parse(self, entry: Any, position: int) -> ObjectEntry | None:
    """Parses an entry; None if it has problems. `position` is its own in the list, from 0."""
    fields = Fields(entry, 'annotation', position, self._problems)
    id = fields.required('id', integer)
    image, label = self._image(fields), self._label(fields)
    size = None if image is None else self._sizes[image]
    box = fields.required('bbox', functools.partial(_box, size))
    area = fields.required('area', _area)
    crowd, ignored = fields.optional('iscrowd', flag, False), fields.optional('ignore', flag, False)
    kept, dropped, rle = self._segmentation(fields, size)
    keypoints = fields.optional('keypoints', functools.partial(_keypoints, size), [])
    if keypoints:
      self._keypoints = self._keypoints or len(keypoints)
      if len(keypoints) != self._keypoints:
        fields.problem(f'has {len(keypoints)} numbers for keypoints: expected {self._keypoints}, as before')
    if not fields.good or image is None or label is None:
      return None
    return ObjectEntry(id, image, size, label, box, area, crowd, ignored, kept, dropped, rle, keypoints)

  def _image(self, fields: Fields) -> int | None:
    id = fields.required('image_id', integer)
    if id is not None and id not in self._position_of and id not in self._unread_images:
      fields.problem(f'is of image {id}, which is not in the file')
    return self._position_of.get(id)

  def _label(self, fields: Fields) -> int | None:
    id = fields.required('category_id', integer)
    if id is not None and id not in self._label_of and id not in self._unread_categories:
      fields.problem(f'has category {id}, which is not in the table')
    return self._label_of.get(id)

  def _segmentation(self, fields: Fields, size: Size | None) -> tuple[list[list[float]], int, bytes]:
    """Polygons of at least three points, number of others, run lengths."""
    value = fields.entry.get('segmentation')
    if value is None or value == []:
      return [], 0, b''
    if type(value) is not list:
      found = fields.required('segmentation', run_lengths.compressed)
      if found and size and found[0] != size:
        fields.problem(f'has a mask of size {list(found[0])}: expected the size of its image, {list(size)}')
      return [], 0, found[1] if found else b''
    kept = fields.required('segmentation', functools.partial(_polygons, size)) or []
    return kept, len(value) - len(kept), b''


def _box(size: Size | None, value: Any) -> list[float]:
  """Checks a box near an image of this size; None: of an unknown size."""
  if len(value := finite(value)) != 4:
    raise Mismatch('a list of x, y, width and height')
  if size:
    x, y, width, height = value
    check_reach((x, y, x + width, y + height), size)
  return value


def _polygons(size: Size | None, value: Any) -> list[list[float]]:
  kept = polygons(value)
  if size:
    for polygon in kept:
      check_reach(polygon, size)
  return kept


def _keypoints(size: Size | None, value: Any) -> list[float]:
  if len(value := finite(value)) % 3:
    raise Mismatch('a list of x, y and visibility of each point')
  if size:
    check_reach(value, size)
  return value


def _area(value: Any) -> float:
  value = number(value)
  if not 0 <= value <= LARGEST_AREA:
    raise Mismatch(f'a number from 0 to {LARGEST_AREA:.0e}')
  return value
