"""Reads annotations of LVIS v1, LVIS v0.5, COCO and PASCAL VOC into columns of NumPy arrays.

The file is streamed twice, for its tables and for its objects (`tables`), into flat columns: LVIS v1's training split
(1.1 GB, 1.27M objects) takes less than 1 GB. Entries that upstream leaves out are left out and counted:

- boxes without area are dropped (Detectron2 drops them when an image is read);
- polygons of fewer than three points are dropped, and so are objects without remaining polygons (as Detectron2 does for
  COCO; for LVIS it stops);
- objects without `segmentation`, or with an empty one, are kept with only their box; the pipeline decides whether to
  use them;
- crowds are kept and marked; training leaves them out, evaluation ignores detections that match them;
- objects with 'ignore', such as VOC's difficult ones, are kept and marked; `config.data.ignore` leaves them out.
"""

import array
import collections
import dataclasses
import functools
import os
from collections.abc import Mapping

import numpy as np
import tqdm
from jaxtyping import Float32, Int, Int64

from jaxdet.annotations.files import entries, files
from jaxdet.annotations.object_entries import ObjectEntry
from jaxdet.annotations.objects import ImageAnnotations, Objects
from jaxdet.annotations.problems import Problems
from jaxdet.annotations.ragged import Ragged
from jaxdet.annotations.tables import Tables, read_objects, read_tables
from jaxdet.structures import Category

COUNTS = (
  'images',
  'images_without_objects',
  'objects',
  'crowds',
  'ignored',
  'objects_without_mask',
  'dropped_boxes_without_area',
  'dropped_polygons_under_three_points',
  'dropped_objects_without_valid_polygon',
)


@dataclasses.dataclass(frozen=True)
class Annotations:
  """A split's I images and N objects."""

  path: str
  categories: tuple[Category, ...]  # sorted by id; a label is a position in it
  image_ids: Int64[np.ndarray, 'I']  # in the file's order
  image_sizes: Int[np.ndarray, 'I 2']  # int32 (height, width), pixels
  file_names: tuple[str, ...]  # such as 'val2017/000000397133.jpg'
  neg_labels: Ragged  # int64; empty for COCO
  not_exhaustive_labels: Ragged
  pos_labels: Ragged  # of images that are labelled as a whole, as Detic's
  counts: Mapping[str, int]  # by the names of COUNTS
  objects_in_image: Ragged  # int64: rows of the columns below, in the file's order
  labels: Int64[np.ndarray, 'N']
  boxes: Float32[np.ndarray, 'N 4']  # xyxy, pixels
  areas: Float32[np.ndarray, 'N']
  crowds: Int64[np.ndarray, 'N']
  ignored: Int64[np.ndarray, 'N']
  polygon_lengths: Ragged  # int64: coordinates of each of an object's polygons
  polygon_points: Ragged  # float32: x, y, x, y, ... of all of an object's polygons
  rle: Mapping[int, bytes]  # compressed counts of the objects that have them
  keypoints: Float32[np.ndarray, 'N P 3'] | None  # (x, y, visibility); None where no object has any

  def __len__(self) -> int:
    return len(self.image_ids)

  def image(self, image: int) -> ImageAnnotations:
    """Image-level annotations of the image at this position."""
    return ImageAnnotations(
      neg_labels=self.neg_labels[image],
      not_exhaustive_labels=self.not_exhaustive_labels[image],
      pos_labels=self.pos_labels[image],
    )

  def objects(self, image: int) -> Objects:
    """The objects of the image at this position."""
    rows = self.objects_in_image[image]
    polygons = [self.polygon_lengths[row] for row in rows.tolist()]
    points = [self.polygon_points[row] for row in rows.tolist()]
    return Objects(
      labels=self.labels[rows],
      boxes=self.boxes[rows],
      areas=self.areas[rows],
      crowds=self.crowds[rows],
      ignored=self.ignored[rows],
      polygons_per_object=np.array([len(p) for p in polygons], np.int64),
      polygon_lengths=np.concatenate([np.zeros(0, np.int64), *polygons]),
      polygon_points=np.concatenate([np.zeros(0, np.float32), *points]),
      rle=[self.rle.get(row, b'') for row in rows.tolist()],
      keypoints=None if self.keypoints is None else self.keypoints[rows],
    )


def read(path: str) -> Annotations:
  """Reads an annotation file, also one that is packed with gzip, or splits of VOC.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is not complete JSON, or entries have problems: a field is missing or is not what is expected
      there, an id is used twice or never defined. The message names the file, entries, fields and values.
  """
  annotations, problems = examine(path)
  problems.raise_if_any()
  return annotations


def examine(path: str) -> tuple[Annotations, Problems]:
  """Reads as `read`; entries with problems are left out, and told beside the others."""
  path = os.fspath(path)
  files(path)  # all there
  problems = Problems(path)
  lists = functools.partial(entries, path, problems=problems)
  tables = read_tables(lists, problems)
  progress = tqdm.tqdm(
    read_objects(lists, tables, problems), desc=f'objects of {os.path.basename(path)}', unit='', leave=False
  )
  objects = _Objects()
  for entry in progress:
    objects.add(entry)
  return _annotations(path, tables, objects), problems


def _annotations(path: str, tables: Tables, objects: '_Objects') -> Annotations:
  image_of_object = np.asarray(objects.images, np.int64)
  per_image = np.bincount(image_of_object, minlength=len(tables.images))
  counts = {name: 0 for name in COUNTS} | objects.counts
  counts['images'] = len(tables.images)
  counts['images_without_objects'] = int((per_image == 0).sum())
  counts['objects'] = len(objects.labels)
  counts['crowds'] = int(np.sum(objects.crowds))
  counts['ignored'] = int(np.sum(objects.ignored))
  keypoints = None
  if objects.keypoints:
    keypoints = np.zeros((len(objects.labels), counts['keypoints_per_object'], 3), np.float32)
    for row, points in objects.keypoints.items():
      keypoints[row] = np.reshape(points, (-1, 3))
  polygon_lengths = np.asarray(objects.polygon_lengths, np.int64)
  polygons = Ragged.from_lengths(polygon_lengths, objects.polygons_per_object)
  point_ends = np.concatenate([[0], np.cumsum(polygon_lengths)])
  return Annotations(
    path=path,
    categories=tables.categories,
    image_ids=np.array([image.id for image in tables.images], np.int64),
    image_sizes=np.array([image.size for image in tables.images], np.int32).reshape(-1, 2),
    file_names=tuple(image.file_name for image in tables.images),
    neg_labels=_labels(tables, 'neg_category_ids'),
    not_exhaustive_labels=_labels(tables, 'not_exhaustive_category_ids'),
    pos_labels=_labels(tables, 'pos_category_ids'),
    counts=counts,
    objects_in_image=Ragged.from_lengths(np.argsort(image_of_object, kind='stable'), per_image),
    labels=np.asarray(objects.labels, np.int64),
    boxes=np.asarray(objects.boxes, np.float32).reshape(-1, 4),
    areas=np.asarray(objects.areas, np.float32),
    crowds=np.asarray(objects.crowds, np.int64),
    ignored=np.asarray(objects.ignored, np.int64),
    polygon_lengths=polygons,
    polygon_points=Ragged(np.asarray(objects.points, np.float32), point_ends[polygons.offsets]),
    rle=objects.rle,
    keypoints=keypoints,
  )


def _labels(tables: Tables, key: str) -> Ragged:
  """Labels of the categories that images list under a key; without those that are not in the table."""
  label_of = tables.label_of
  rows = [[label_of[id] for id in getattr(image, key) or () if id in label_of] for image in tables.images]
  return Ragged.from_lengths(np.array([label for row in rows for label in row], np.int64), [len(row) for row in rows])


class _Objects:
  """Columns of the list `annotations`."""

  def __init__(self):
    self.images, self.labels = array.array('q'), array.array('q')
    self.boxes, self.areas = array.array('f'), array.array('f')
    self.crowds, self.ignored = array.array('b'), array.array('b')
    self.polygons_per_object, self.polygon_lengths = array.array('q'), array.array('q')
    self.points = array.array('f')
    self.rle: dict[int, bytes] = {}
    self.keypoints: dict[int, array.array] = {}  # (x, y, visibility), flat, of the objects that have them
    self.counts: collections.Counter[str] = collections.Counter()

  def add(self, entry: ObjectEntry) -> None:
    """Adds an object, or counts it as dropped."""
    x, y, width, height = entry.box
    if not (width > 0 and height > 0):
      self.counts['dropped_boxes_without_area'] += 1
      return
    self.counts['dropped_polygons_under_three_points'] += entry.dropped_polygons
    if entry.lost_mask:
      self.counts['dropped_objects_without_valid_polygon'] += 1
      return
    if not entry.has_mask:
      self.counts['objects_without_mask'] += 1
    if entry.rle:
      self.rle[len(self.labels)] = entry.rle
    if entry.keypoints:
      self.counts['keypoints_per_object'] = len(entry.keypoints) // 3
      self.keypoints[len(self.labels)] = array.array('f', entry.keypoints)
    self.images.append(entry.image)
    self.labels.append(entry.label)
    self.boxes.extend((x, y, x + width, y + height))
    self.areas.append(entry.area)
    self.crowds.append(entry.crowd)
    self.ignored.append(entry.ignored)
    self.polygons_per_object.append(len(entry.polygons))
    for polygon in entry.polygons:
      self.polygon_lengths.append(len(polygon))
      self.points.extend(polygon)
