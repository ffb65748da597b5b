"""Reads annotations of LVIS v1, LVIS v0.5, COCO and PASCAL VOC into columns of NumPy arrays.

The file is streamed, once for each of its three lists, into flat columns: LVIS v1's training split (1.1 GB, 1.27M
objects) takes less than 1 GB. Entries that upstream leaves out are left out and counted:

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
import os
from collections.abc import Mapping

import numpy as np
import tqdm
from jaxtyping import Float32, Int, Int64
from pycocotools import mask as coco_mask

from jaxdet.annotations.categories import read_categories, required
from jaxdet.annotations.files import entries, files
from jaxdet.annotations.objects import ImageAnnotations, Objects
from jaxdet.annotations.ragged import Ragged
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
    ValueError: the file is not complete JSON, or contradicts itself: an id used twice or never defined, a
      missing key. The message names the file and the ids, or the byte offset.
  """
  path = os.fspath(path)
  files(path)  # all there
  categories = read_categories(path)
  label_of = {category.id: label for label, category in enumerate(categories)}
  images = _read_images(path, label_of)
  objects = _read_objects(path, images, label_of)
  image_of_object = np.asarray(objects.images, np.int64)
  per_image = np.bincount(image_of_object, minlength=len(images.ids))
  counts = {name: 0 for name in COUNTS} | objects.counts
  counts['images'] = len(images.ids)
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
    categories=categories,
    image_ids=np.array(images.ids, np.int64),
    image_sizes=np.array(images.sizes, np.int32).reshape(-1, 2),
    file_names=tuple(images.file_names),
    neg_labels=Ragged.from_lengths(np.array(images.neg_labels, np.int64), images.num_neg),
    not_exhaustive_labels=Ragged.from_lengths(np.array(images.not_exhaustive, np.int64), images.num_not_exhaustive),
    pos_labels=Ragged.from_lengths(np.array(images.pos_labels, np.int64), images.num_pos),
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


class _Images:
  """Columns of the list `images`."""

  def __init__(self):
    self.position: dict[int, int] = {}
    self.sizes: list[tuple[int, int]] = []
    self.file_names: list[str] = []
    self.neg_labels, self.num_neg = array.array('q'), array.array('q')
    self.not_exhaustive, self.num_not_exhaustive = array.array('q'), array.array('q')
    self.pos_labels, self.num_pos = array.array('q'), array.array('q')

  @property
  def ids(self) -> list[int]:
    return list(self.position)


def _read_images(path: str, label_of: Mapping[int, int]) -> _Images:
  images = _Images()
  for entry in entries(path, 'images'):
    image_id = required(entry, 'id', path, 'image')
    if image_id in images.position:
      raise ValueError(f'{path}: image id {image_id} is defined twice')
    images.position[image_id] = len(images.position)
    images.sizes.append((required(entry, 'height', path, 'image'), required(entry, 'width', path, 'image')))
    images.file_names.append(_file_name(entry, path))
    for key, labels, lengths in (
      ('neg_category_ids', images.neg_labels, images.num_neg),
      ('not_exhaustive_category_ids', images.not_exhaustive, images.num_not_exhaustive),
      ('pos_category_ids', images.pos_labels, images.num_pos),
    ):
      ids = entry.get(key, ())
      unknown = [id for id in ids if id not in label_of]
      if unknown:
        raise ValueError(f'{path}: {key} of image {image_id} has categories {unknown}, which are not in its table')
      labels.extend(label_of[id] for id in ids)
      lengths.append(len(ids))
  if not images.position:
    raise ValueError(f'{path} has no images: is it an annotation file of LVIS or COCO?')
  return images


def _file_name(entry: dict, path: str) -> str:
  """File name of an image; for LVIS v1, without `file_name`, the last two parts of `coco_url`."""
  if 'file_name' in entry:
    return entry['file_name']
  if 'coco_url' in entry:
    return '/'.join(entry['coco_url'].split('/')[-2:])
  raise ValueError(f'{path}: image {entry["id"]} has neither file_name nor coco_url')


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


def _read_objects(path: str, images: _Images, label_of: Mapping[int, int]) -> _Objects:
  objects = _Objects()
  progress = f'objects of {os.path.basename(path)}'
  for entry in tqdm.tqdm(entries(path, 'annotations'), desc=progress, unit='', leave=False):
    annotation_id = entry.get('id')
    image_id = required(entry, 'image_id', path, 'annotation')
    if image_id not in images.position:
      raise ValueError(f'{path}: annotation {annotation_id} is of image {image_id}, which is not in the file')
    category_id = required(entry, 'category_id', path, 'annotation')
    if category_id not in label_of:
      raise ValueError(f'{path}: annotation {annotation_id} has category {category_id}, which is not in the table')
    x, y, width, height = required(entry, 'bbox', path, 'annotation')
    area = required(entry, 'area', path, 'annotation')
    if not (width > 0 and height > 0):
      objects.counts['dropped_boxes_without_area'] += 1
      continue

    image = images.position[image_id]
    segmentation = entry.get('segmentation') or []
    if isinstance(segmentation, dict):
      objects.rle[len(objects.labels)] = _compressed(segmentation, images.sizes[image], path, annotation_id)
      segmentation = []
    elif segmentation:
      polygons = [p for p in segmentation if len(p) >= 6 and len(p) % 2 == 0]
      objects.counts['dropped_polygons_under_three_points'] += len(segmentation) - len(polygons)
      if not polygons:
        objects.counts['dropped_objects_without_valid_polygon'] += 1
        continue
      segmentation = polygons
    else:
      objects.counts['objects_without_mask'] += 1

    if entry.get('keypoints'):
      _add_keypoints(objects, entry['keypoints'], path, annotation_id)
    objects.images.append(image)
    objects.labels.append(label_of[category_id])
    objects.boxes.extend((x, y, x + width, y + height))
    objects.areas.append(area)
    objects.crowds.append(entry.get('iscrowd', 0))
    objects.ignored.append(entry.get('ignore', 0))
    objects.polygons_per_object.append(len(segmentation))
    for polygon in segmentation:
      objects.polygon_lengths.append(len(polygon))
      objects.points.extend(polygon)
  return objects


def _add_keypoints(objects: _Objects, points: list[float], path: str, annotation_id: int) -> None:
  """Keeps the keypoints of the object that is read next: x, y, visibility, x, .."""
  count = objects.counts['keypoints_per_object'] or len(points) // 3
  if len(points) != 3 * count:
    raise ValueError(
      f'{path}: annotation {annotation_id} has {len(points)} numbers for keypoints, where (x, y, visibility) of '
      f'{count} are expected, as of those before'
    )
  objects.counts['keypoints_per_object'] = count
  objects.keypoints[len(objects.labels)] = array.array('f', points)


def _compressed(rle: dict, size: tuple[int, int], path: str, annotation_id: int) -> bytes:
  """COCO's compressed counts of a run-length encoding, whose counts may be a list."""
  if tuple(rle['size']) != size:
    raise ValueError(f'{path}: the mask of annotation {annotation_id} is of size {rle["size"]}, its image of {size}')
  if isinstance(rle['counts'], list):
    return coco_mask.frPyObjects(rle, *size)['counts']
  return rle['counts'].encode()
