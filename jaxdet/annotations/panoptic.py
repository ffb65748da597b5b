"""COCO's panoptic format: a JSON file of segments, and for each image a PNG of segment ids.

A pixel's colour is its segment's id, R + 256 G + 65536 B; 0: no segment. The list 'annotations' has one entry per image
with its PNG's `file_name` and `segments_info`; results have the same format, without areas and crowds.
"""

import collections
import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from jaxdet.annotations.fields import Fields, Mismatch, count, flag, integer, text
from jaxdet.annotations.files import entries
from jaxdet.annotations.problems import Problems
from jaxdet.annotations.unique_ids import UniqueIds
from jaxdet.structures import Category

VOID = 0  # id of pixels without a segment
MAX_ID = 256**3 - 1
THINGS, IGNORED = 0, 255  # values of semantic maps


@dataclasses.dataclass(frozen=True)
class PanopticCategory:
  """A category of things, which can be counted, or of stuff."""

  id: int
  name: str
  is_thing: bool


@dataclasses.dataclass(frozen=True)
class PanopticSegment:
  """Pixels of one thing, of a crowd of things, or of one stuff category in an image."""

  id: int  # of its pixels
  category_id: int
  is_crowd: bool = False
  area: int | None = None  # annotated area in pixels; None: not annotated


@dataclasses.dataclass(frozen=True)
class PanopticImage:
  """Segments of one image."""

  image_id: int
  file_name: str  # of its PNG
  segments: tuple[PanopticSegment, ...]


@dataclasses.dataclass(frozen=True)
class PanopticAnnotations:
  """A split: its images by id, and the folder of their PNGs."""

  path: str  # of the JSON file
  folder: str  # of the PNGs
  categories: tuple[PanopticCategory, ...]  # sorted by id
  images: Mapping[int, PanopticImage]

  def ids(self, image_id: int) -> Int[np.ndarray, 'H W']:
    """Reads the segment id of every pixel of an image.

    Raises:
      FileNotFoundError: its PNG does not exist.
      ValueError: the split does not have the image, or the PNG cannot be read.
    """
    return read_ids(os.path.join(self.folder, self.of(image_id).file_name))

  def of(self, image_id: int) -> PanopticImage:
    """Segments of an image; raises ValueError if the split does not have it."""
    if image_id not in self.images:
      raise ValueError(f'{self.path} has no annotation of image {image_id}')
    return self.images[image_id]


def read(path: str, folder: str = '') -> PanopticAnnotations:
  """Reads a JSON file; `folder` has the PNGs, '': the file's path without its suffix, as in COCO.

  Raises:
    FileNotFoundError: the file or the folder does not exist.
    ValueError: entries have problems, or two have the same id; the message names the file and the entries.
  """
  folder = folder or os.path.splitext(path.removesuffix('.gz'))[0]
  for place in (path, folder):
    if not os.path.exists(place):
      raise FileNotFoundError(
        f'no panoptic annotations {place}: download and unpack them there (https://cocodataset.org/#download)'
      )
  problems = Problems(path)
  categories = _read_categories(path, problems)
  images: dict[int, PanopticImage] = {}
  known = {category.id for category in categories}
  for position, (_, entry) in enumerate(entries(path, ('annotations',), problems)):
    image = _parse_image(entry, position, known, problems)
    if image is not None and image.image_id in images:
      problems.add(f'image {image.image_id} has two annotations: ids must be unique')
    elif image is not None:
      images[image.image_id] = image
  problems.raise_if_any()
  return PanopticAnnotations(path, folder, categories, images)


def _read_categories(path: str, problems: Problems) -> tuple[PanopticCategory, ...]:
  """Reads the categories of a JSON file, sorted by id."""
  categories = UniqueIds('category', _parse_category, problems)
  for _, entry in entries(path, ('categories',), problems):
    categories.add(entry)
  if not categories.count:
    problems.add('has no categories: is it a panoptic annotation file?')
  problems.raise_if_any()  # else segments of these would be further problems
  return tuple(categories.found[id] for id in sorted(categories.found))


def _parse_category(entry: Any, position: int, problems: Problems) -> PanopticCategory | None:
  fields = Fields(entry, 'category', position, problems)
  category = PanopticCategory(
    fields.required('id', integer), fields.required('name', text), fields.required('isthing', flag)
  )
  return category if fields.good else None


def _parse_image(entry: Any, position: int, known: Set[int], problems: Problems) -> PanopticImage | None:
  """Parses an entry of 'annotations'; `known` are the ids of the categories."""
  fields = Fields(entry, 'annotation of image', position, problems, id_key='image_id')
  image_id, file_name = fields.required('image_id', integer), fields.required('file_name', _png_name)
  infos = fields.required('segments_info', _list) or ()
  segments = [_parse_segment(each, i, f'{fields.name}: segment', known, problems) for i, each in enumerate(infos)]
  if not fields.good:
    return None
  ids = collections.Counter(segment.id for segment in segments)
  if twice := sorted(id for id, times in ids.items() if times > 1):
    fields.problem(f'has segment {twice[0]} twice: ids must be unique')
  return PanopticImage(image_id, file_name, tuple(segments)) if fields.good else None


def _parse_segment(entry: Any, position: int, kind: str, known: Set[int], problems: Problems) -> PanopticSegment | None:
  fields = Fields(entry, kind, position, problems)
  id, category_id = fields.required('id', integer), fields.required('category_id', integer)
  is_crowd, area = fields.optional('iscrowd', flag, False), fields.optional('area', count, None)
  if id is not None and not 0 < id <= MAX_ID:
    fields.problem(f'has no colour: ids are from 1 to {MAX_ID}')
  if category_id is not None and category_id not in known:
    fields.problem(f'has category {category_id}, which is not in the table')
  return PanopticSegment(id, category_id, is_crowd, area) if fields.good else None


def _png_name(value: Any) -> str:
  """Checks the name of a PNG, which results are written under too."""
  name = text(value)
  if os.path.isabs(name) or '..' in name.split('/'):
    raise Mismatch('a name below the folder of PNGs')
  return name


def _list(value: Any) -> list:
  if type(value) is not list:
    raise Mismatch('a list of segments')
  return value


def read_ids(path: str) -> Int[np.ndarray, 'H W']:
  """Reads the ids of a PNG, int32.

  Raises:
    FileNotFoundError: the file does not exist.
    ValueError: the file cannot be read, or its pixels are no colours.
  """
  try:
    with Image.open(path) as image:
      mode, pixels = image.mode, np.asarray(image)
  except FileNotFoundError:
    raise FileNotFoundError(f'no PNG of segments {path}') from None
  except Exception as error:  # Pillow raises whatever its parsers meet, and an error of its own for huge images
    raise ValueError(f'{path} is no complete PNG ({error}): was the download interrupted?') from error
  if mode not in ('RGB', 'RGBA'):
    raise ValueError(f'{path} has {mode} pixels, where the ids of segments are RGB colours')
  return pixels[..., :3].astype(np.int32) @ np.array([1, 256, 256**2], np.int32)


def write_ids(path: str, ids: Int[np.ndarray, 'H W']) -> None:
  """Writes a PNG of ids."""
  if ids.size and (ids.min() < 0 or ids.max() > MAX_ID):
    raise ValueError(f'{path}: ids of segments are from 0 to {MAX_ID}, not from {ids.min()} to {ids.max()}')
  Image.fromarray(np.stack([ids >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)).save(path)


def write_results(path: str, categories: Iterable[PanopticCategory], results: Iterable[Mapping[str, Any]]) -> None:
  """Writes the JSON file of results.

  Args:
    path: of the file.
    categories: those of the ground truth.
    results: entries with `image_id`, `file_name` and `segments_info`, the latter with `id` and `category_id`.
  """
  table = [{'id': each.id, 'name': each.name, 'isthing': int(each.is_thing)} for each in categories]
  with open(path + '.part', 'w') as f:
    json.dump({'categories': table, 'annotations': list(results)}, f)
  os.replace(path + '.part', path)


def semantic_map(
  ids: Int[np.ndarray, 'H W'], segments: Iterable[PanopticSegment], categories: Sequence[PanopticCategory]
) -> UInt8[np.ndarray, 'H W']:
  """Converts segment ids to the classes that Panoptic FPN's semantic head is trained on.

  All things, crowds included, are class THINGS; stuff categories are 1, 2, .. in the order of their ids (COCO: up to
  53); pixels without a segment are IGNORED.
  """
  stuff = stuff_classes(categories)
  found, places = np.unique(ids, return_inverse=True)
  values = np.full(len(found), IGNORED, np.uint8)
  for segment in segments:
    values[found == segment.id] = stuff.get(segment.category_id, THINGS)
  return values[places.reshape(ids.shape)]


def stuff_classes(categories: Sequence[PanopticCategory]) -> dict[int, int]:
  """Class of each stuff category in semantic maps, by category id: 1, 2, ..

  Raises:
    ValueError: there are more categories than a byte can hold beside THINGS and IGNORED.
  """
  stuff = sorted(category.id for category in categories if not category.is_thing)
  if len(stuff) >= IGNORED:
    raise ValueError(f'{len(stuff)} categories of stuff do not go into a byte: a semantic map has up to {IGNORED - 1}')
  return {id: label for label, id in enumerate(stuff, start=1)}


def things(categories: Sequence[PanopticCategory]) -> list[Category]:
  """Category of each label of instances."""
  return sorted((Category(each.id, each.name) for each in categories if each.is_thing), key=lambda each: each.id)
