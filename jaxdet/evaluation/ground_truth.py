"""Reads annotations of LVIS, COCO or VOC into columns, for the metrics."""

import array
import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as rle_codec

from jaxdet.annotations.files import entries
from jaxdet.annotations.object_entries import ObjectEntry
from jaxdet.annotations.problems import Problems
from jaxdet.annotations.tables import read_objects, read_tables
from jaxdet.structures import Category

# Polygons x, y, x, y, ..; run lengths {'size': [height, width], 'counts': compressed}; None: no mask, only a box.
Segmentation = list[Float[np.ndarray, 'F']] | Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True)
class GroundTruth:
  """V images, K categories and G objects; images and categories are indexed by position, sorted by id.

  Detections and objects are matched within a pair of image and category, numbered `label * V + image`.
  """

  source: str  # the file, for messages
  image_ids: Int[np.ndarray, 'V']  # ascending
  image_sizes: Int[np.ndarray, 'V 2']  # (height, width) in pixels
  categories: tuple[Category, ...]  # ascending by id
  annotation_ids: Int[np.ndarray, 'G']  # the objects are in the file's order
  image: Int[np.ndarray, 'G']
  label: Int[np.ndarray, 'G']
  boxes: Float[np.ndarray, 'G 4']  # (x, y, width, height) in pixels of the file
  areas: Float[np.ndarray, 'G']  # the file's own 'area'
  ignore: Bool[np.ndarray, 'G']  # 'ignore' of LVIS files, 'difficult' of VOC's
  crowd: Bool[np.ndarray, 'G']  # 'iscrowd' of COCO files
  segmentations: tuple[Segmentation, ...]
  negative: Int[np.ndarray, 'P'] | None  # pairs known to be absent; None if the file does not list them (COCO)
  not_exhaustive: Int[np.ndarray, 'Q']  # pairs whose objects are not all annotated

  @property
  def has_mask(self) -> Bool[np.ndarray, 'G']:
    """False for objects with only a box."""
    return np.asarray([segmentation is not None for segmentation in self.segmentations], bool)

  def pairs(self, image: Int[np.ndarray, 'N'], label: Int[np.ndarray, 'N']) -> Int[np.ndarray, 'N']:
    return label * len(self.image_ids) + image

  def subset(self, image_ids: Iterable[int]) -> 'GroundTruth':
    """Restricts the ground truth to these images; raises ValueError if an image is not in it."""
    wanted = np.unique(np.asarray(image_ids, np.int64))
    old = positions(wanted, self.image_ids)
    if (old < 0).any():
      some = ', '.join(map(str, wanted[old < 0][:5]))
      raise ValueError(f'{(old < 0).sum()} of {len(wanted)} images are not in {self.source}, among them {some}')
    new = np.full(len(self.image_ids), -1)
    new[old] = np.arange(len(old))

    def kept_pairs(pairs: Int[np.ndarray, 'P']) -> Int[np.ndarray, 'p']:
      label, image = np.divmod(pairs, max(len(self.image_ids), 1))
      return (label * len(old) + new[image])[new[image] >= 0]

    kept = np.flatnonzero(new[self.image] >= 0)
    per_object = ('annotation_ids', 'label', 'boxes', 'areas', 'ignore', 'crowd')
    return dataclasses.replace(
      self,
      source=f'{self.source} ({len(old)} images of it)',
      image_ids=wanted,
      image_sizes=self.image_sizes[old],
      image=new[self.image[kept]],
      segmentations=tuple(self.segmentations[i] for i in kept),
      negative=None if self.negative is None else kept_pairs(self.negative),
      not_exhaustive=kept_pairs(self.not_exhaustive),
      **{name: getattr(self, name)[kept] for name in per_object},
    )


def load_ground_truth(path: str) -> GroundTruth:
  """Reads an annotation file, or splits of VOC, by the same rules as training: see `annotations.columns.read`."""
  return _read(functools.partial(entries, path), path)


def ground_truth(data: Mapping[str, Sequence], source: str) -> GroundTruth:
  """Makes the ground truth of a parsed annotation file; `source` is its name, for messages."""

  def lists(names: Collection[str], problems: Problems) -> Iterator[tuple[str, Any]]:
    for name in names:
      if name not in data:
        raise ValueError(f'{source} has no {name}: is it an annotation file of LVIS or COCO?')
      yield from ((name, entry) for entry in data[name])

  return _read(lists, source)


def _read(lists: Callable[..., Iterator[tuple[str, Any]]], source: str) -> GroundTruth:
  problems = Problems(source)
  lists = functools.partial(lists, problems=problems)
  tables = read_tables(lists, problems)
  objects = _Objects()
  for entry in read_objects(lists, tables, problems):
    objects.add(entry)
  problems.raise_if_any()

  ids = np.asarray([image.id for image in tables.images], np.int64)
  order = np.argsort(ids)
  rank = np.argsort(order)  # position by id of each image of the file
  label_of = tables.label_of

  def pairs(key: str) -> Int[np.ndarray, 'P']:
    found = [
      label_of[id] * len(ids) + position
      for image, position in zip(tables.images, rank.tolist(), strict=True)
      for id in getattr(image, key) or ()
    ]
    return np.unique(np.asarray(found, np.int64))

  federated = all(image.neg_category_ids is not None for image in tables.images)
  return GroundTruth(
    source=source,
    image_ids=ids[order],
    image_sizes=np.asarray([image.size for image in tables.images], np.int64).reshape(-1, 2)[order],
    categories=tables.categories,
    annotation_ids=np.asarray(objects.ids, np.int64),
    image=rank[np.asarray(objects.images, np.int64)],
    label=np.asarray(objects.labels, np.int64),
    boxes=np.asarray(objects.boxes, np.float64).reshape(-1, 4),
    areas=np.asarray(objects.areas, np.float64),
    ignore=np.asarray(objects.ignored, bool),
    crowd=np.asarray(objects.crowds, bool),
    segmentations=tuple(objects.segmentations),
    negative=pairs('neg_category_ids') if federated else None,
    not_exhaustive=pairs('not_exhaustive_category_ids'),
  )


class _Objects:
  """Columns of the list 'annotations'. Objects that training drops are kept, as by COCO's and LVIS's evaluators."""

  def __init__(self):
    self.ids, self.images, self.labels = array.array('q'), array.array('q'), array.array('q')
    self.boxes, self.areas = array.array('d'), array.array('d')
    self.ignored, self.crowds = array.array('b'), array.array('b')
    self.segmentations: list[Segmentation] = []

  def add(self, entry: ObjectEntry) -> None:
    self.ids.append(entry.id)
    self.images.append(entry.image)
    self.labels.append(entry.label)
    self.boxes.extend(entry.box)
    self.areas.append(entry.area)
    self.ignored.append(entry.ignored)
    self.crowds.append(entry.crowd)
    if entry.rle:
      self.segmentations.append({'size': list(entry.size), 'counts': entry.rle})
    elif entry.polygons:
      # As arrays they take a quarter of the memory.
      self.segmentations.append([np.asarray(polygon, np.float64) for polygon in entry.polygons])
    else:
      self.segmentations.append(None)


def run_lengths(segmentation: Segmentation, height: int, width: int) -> dict:
  """Compressed run lengths of polygons (their union), or of run lengths, whose counts may be a list."""
  if isinstance(segmentation, list):
    return union(segmentation, height, width)
  if isinstance(segmentation['counts'], list):
    return rle_codec.frPyObjects(segmentation, height, width)
  return segmentation


def union(polygons: Sequence[Sequence[float]], height: int, width: int) -> dict:
  """Compressed run lengths of the union of polygons, each of at least three points."""
  return rle_codec.merge(rle_codec.frPyObjects(list(polygons), height, width))


def positions(ids: Iterable[int], table: Int[np.ndarray, 'V']) -> Int[np.ndarray, 'N']:
  """Position of each id in an ascending table; -1 for ids that are not in it."""
  ids = np.asarray(ids, np.int64)
  if not len(table):
    return np.full(ids.shape, -1)
  found = np.minimum(np.searchsorted(table, ids), len(table) - 1)
  return np.where(table[found] == ids, found, -1)
