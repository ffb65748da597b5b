"""Reads annotations of LVIS, COCO or VOC into columns, for the metrics."""

import dataclasses
import json
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as rle_codec

from jaxdet.annotations import voc_folder
from jaxdet.annotations.categories import parse_category
from jaxdet.structures import Category


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
  segmentations: tuple  # polygons (lists or arrays of x, y, x, y, ..) or run lengths, as in the file
  negative: Int[np.ndarray, 'P'] | None  # pairs known to be absent; None if the file does not list them (COCO)
  not_exhaustive: Int[np.ndarray, 'Q']  # pairs whose objects are not all annotated

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
  """Reads an annotation file, or splits of VOC; raises a ValueError that names the missing key of an entry."""
  if voc_folder.is_split(path):
    names = ('categories', 'images', 'annotations')
    return ground_truth({name: list(voc_folder.entries(path, name)) for name in names}, path)
  with open(path) as file:
    return ground_truth(json.load(file, object_hook=_with_arrays), path)


def ground_truth(data: Mapping, source: str) -> GroundTruth:
  """Makes the ground truth of a parsed annotation file; objects of unlisted images or categories are left out."""
  for key in ('images', 'annotations', 'categories'):
    if key not in data:
      raise ValueError(f"{source} has no '{key}': it is not an annotation file in LVIS or COCO format")
  images = sorted(data['images'], key=lambda image: image['id'])
  parsed = (parse_category(entry, source) for entry in data['categories'])
  categories = tuple(sorted(parsed, key=lambda category: category.id))
  image_position = {image['id']: i for i, image in enumerate(images)}
  label_position = {entry.id: i for i, entry in enumerate(categories)}
  objects = [
    entry
    for entry in data['annotations']
    if entry['image_id'] in image_position and entry['category_id'] in label_position
  ]

  def column(key: str, dtype, default=None, shape=(-1,)) -> np.ndarray:
    try:
      values = [entry[key] if default is None else entry.get(key, default) for entry in objects]
    except KeyError:
      lacking = next(entry for entry in objects if key not in entry)
      raise ValueError(f"{source}: annotation {lacking.get('id')} has no '{key}'") from None
    return np.asarray(values, dtype).reshape(shape)

  def federated(key: str) -> np.ndarray:
    pairs = [
      label_position[id] * len(images) + image_position[image['id']]
      for image in images
      for id in image.get(key, ())
      if id in label_position
    ]
    return np.unique(np.asarray(pairs, np.int64))

  return GroundTruth(
    source=source,
    image_ids=np.asarray([image['id'] for image in images], np.int64),
    image_sizes=np.asarray([(image['height'], image['width']) for image in images], np.int64).reshape(-1, 2),
    categories=categories,
    annotation_ids=column('id', np.int64),
    image=np.asarray([image_position[entry['image_id']] for entry in objects], np.int64),
    label=np.asarray([label_position[entry['category_id']] for entry in objects], np.int64),
    boxes=column('bbox', np.float64, shape=(-1, 4)),
    areas=column('area', np.float64),
    ignore=column('ignore', bool, default=False),
    crowd=column('iscrowd', bool, default=False),
    segmentations=tuple(entry.get('segmentation') for entry in objects),
    negative=federated('neg_category_ids') if all('neg_category_ids' in image for image in images) else None,
    not_exhaustive=federated('not_exhaustive_category_ids'),
  )


def _with_arrays(entry: dict) -> dict:
  """Converts an entry's polygons to arrays as soon as they are read, which take a quarter of the memory."""
  if isinstance(entry.get('segmentation'), list):
    entry['segmentation'] = [np.asarray(polygon, np.float64) for polygon in entry['segmentation']]
  return entry


def run_lengths(segmentation, height: int, width: int) -> dict:
  """Compressed run lengths of polygons (their union), of counts, or of run lengths."""
  if isinstance(segmentation, list):
    return rle_codec.merge(rle_codec.frPyObjects(segmentation, height, width))
  if isinstance(segmentation['counts'], list):
    return rle_codec.frPyObjects(segmentation, height, width)
  return segmentation


def positions(ids: Iterable[int], table: Int[np.ndarray, 'V']) -> Int[np.ndarray, 'N']:
  """Position of each id in an ascending table; -1 for ids that are not in it."""
  ids = np.asarray(ids, np.int64)
  if not len(table):
    return np.full(ids.shape, -1)
  found = np.minimum(np.searchsorted(table, ids), len(table) - 1)
  return np.where(table[found] == ids, found, -1)
