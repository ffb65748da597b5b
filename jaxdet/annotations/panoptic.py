"""COCO's panoptic format: a JSON file of segments, and for each image a PNG of segment ids.

A pixel's colour is its segment's id, R + 256 G + 65536 B; 0: no segment. The list 'annotations' has one entry per image
with its PNG's `file_name` and `segments_info`; results have the same format, without areas and crowds.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from jaxdet.annotations.categories import required
from jaxdet.annotations.files import entries
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
    ValueError: an entry lacks a key, or two have the same id; the message names the file and the entry.
  """
  folder = folder or os.path.splitext(path)[0]
  for place in (path, folder):
    if not os.path.exists(place):
      raise FileNotFoundError(
        f'no panoptic annotations {place}: download and unpack them there (https://cocodataset.org/#download)'
      )
  categories = read_panoptic_categories(path)
  images = {}
  for image in read_images(path, categories):
    if image.image_id in images:
      raise ValueError(f'{path}: image {image.image_id} has two annotations')
    images[image.image_id] = image
  return PanopticAnnotations(path, folder, categories, images)


def read_panoptic_categories(path: str) -> tuple[PanopticCategory, ...]:
  """Reads the categories of a JSON file, sorted by id; raises ValueError if there are none, or an id is used twice."""
  found: dict[int, PanopticCategory] = {}
  for entry in entries(path, 'categories'):
    id, name, is_thing = (required(entry, key, path, 'category') for key in ('id', 'name', 'isthing'))
    if id in found:
      raise ValueError(f'{path}: category id {id} is defined twice')
    found[id] = PanopticCategory(id, name, bool(is_thing))
  if not found:
    raise ValueError(f'{path} has no categories: is it a panoptic annotation file?')
  return tuple(found[id] for id in sorted(found))


def read_images(path: str, categories: Sequence[PanopticCategory]) -> Iterator[PanopticImage]:
  """Yields the images of a JSON file in its order.

  Raises:
    ValueError: an entry lacks a key, a segment's id is used twice in its image or cannot be a colour, or its category
      is unknown.
  """
  known = {category.id for category in categories}
  for entry in entries(path, 'annotations'):
    image_id = required(entry, 'image_id', path, 'annotation')
    where = f'{path}: annotation of image {image_id}'
    for key in ('file_name', 'segments_info'):
      if key not in entry:
        raise ValueError(f"{where} has no '{key}': is it a panoptic annotation file?")
    segments = tuple(_segment(each, where, known) for each in entry['segments_info'])
    ids = [segment.id for segment in segments]
    if twice := sorted({id for id in ids if ids.count(id) > 1}):
      raise ValueError(f'{where} has segment {twice[0]} twice')
    yield PanopticImage(image_id, entry['file_name'], segments)


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
  except (OSError, SyntaxError) as error:
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


def _segment(entry: Mapping[str, Any], where: str, known: set[int]) -> PanopticSegment:
  if missing := [key for key in ('id', 'category_id') if key not in entry]:
    raise ValueError(f"{where}: segment {entry.get('id', entry)} has no '{missing[0]}'")
  id, category_id = entry['id'], entry['category_id']
  if not 0 < id <= MAX_ID:
    raise ValueError(f'{where}: segment {id} has no colour: ids are from 1 to {MAX_ID}')
  if category_id not in known:
    raise ValueError(f'{where}: segment {id} has category {category_id}, which is not in the table')
  return PanopticSegment(id, category_id, bool(entry.get('iscrowd', 0)), entry.get('area'))
