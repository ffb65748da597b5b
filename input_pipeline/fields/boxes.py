"""Boxes and labels of objects."""

import dataclasses
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32
from ml_collections import ConfigDict

from input_pipeline import ssd_augmentation
from input_pipeline.fields.columns import Columns
from input_pipeline.fields.field import Features, ObjectField
from input_pipeline.fields.scene import Scene
from jaxdet.annotations.objects import Objects

MIN_BOX_SIDE = 1e-5  # pixels; objects with less left are dropped, as in Detectron2


@dataclasses.dataclass(frozen=True)
class PlacedBoxes:
  """Boxes and labels of N objects on the canvas."""

  boxes: Float32[np.ndarray, 'N 4']  # xyxy, clipped to the image
  labels: Int32[np.ndarray, 'N']

  def take(self, rows: Int[np.ndarray, 'n']) -> 'PlacedBoxes':
    return PlacedBoxes(self.boxes[rows], self.labels[rows])

  def followed_by(self, others: 'PlacedBoxes') -> 'PlacedBoxes':
    return PlacedBoxes(np.concatenate([self.boxes, others.boxes]), np.concatenate([self.labels, others.labels]))


@dataclasses.dataclass(frozen=True)
class Boxes(ObjectField):
  """Boxes and labels, without crowds, objects outside the crop, and objects that config.data.ignore excludes."""

  marked: bool = False  # drop objects with the annotation 'ignore'
  min_side: float = 0  # drop objects with a shorter side, in pixels of the file

  name = 'boxes'
  PART = 'objects'
  FEATURES = {
    'objects/label': ('int64', (None,)),
    'objects/bbox': ('float32', (None, 4)),
    'objects/area': ('float32', (None,)),
    'objects/crowd': ('int64', (None,)),
    'objects/ignore': ('int64', (None,)),
  }

  @staticmethod
  def features(annotations: Objects) -> Features:
    return {
      'objects/label': annotations.labels,
      'objects/bbox': annotations.boxes,
      'objects/area': annotations.areas,
      'objects/crowd': annotations.crowds,
      'objects/ignore': annotations.ignored,
    }

  @staticmethod
  def read(features: Features) -> dict[str, Any]:
    return {
      'labels': features['objects/label'],
      'boxes': features['objects/bbox'].reshape(-1, 4),
      'areas': features['objects/area'],
      'crowds': features['objects/crowd'],
      'ignored': features['objects/ignore'],
    }

  @classmethod
  def of(cls, data: ConfigDict, num_classes: int) -> Self:
    del num_classes
    return cls(data.ignore.marked, data.ignore.min_side)

  def columns(self, images: int, objects: int) -> Columns:
    rows = (images, objects)
    return {
      'objects/boxes': np.zeros((*rows, 4), np.float32),
      'objects/labels': np.zeros(rows, np.int32),
      'objects/valid': np.zeros(rows, np.bool_),
    }

  def keep(self, scene: Scene) -> Bool[np.ndarray, 'N']:
    objects, placement, boxes = scene.objects, scene.placement, scene.boxes
    keep = (objects.crowds == 0) & (boxes[:, 2:] - boxes[:, :2] > MIN_BOX_SIDE).all(axis=1)
    keep &= (objects.boxes[:, 2:] - objects.boxes[:, :2] >= self.min_side).all(axis=1)
    if self.marked:
      keep &= objects.ignored != 1
    if placement.tight_boxes:
      keep &= scene.outlined
    if placement.crop and placement.crop.by_middle:
      (y, x), (height, width) = placement.crop.offset, placement.crop.size
      keep &= ssd_augmentation.has_middle(objects.boxes, np.array([[x, y, x + width, y + height]]))[0]
    return keep

  def place(self, scene: Scene, rows: Int[np.ndarray, 'n']) -> PlacedBoxes:
    return PlacedBoxes(scene.boxes[rows].astype(np.float32), scene.objects.labels[rows].astype(np.int32))

  def write(self, placed: PlacedBoxes, columns: Columns, row: int) -> None:
    count = len(placed.labels)
    columns['objects/boxes'][row, :count] = placed.boxes
    columns['objects/labels'][row, :count] = placed.labels
    columns['objects/valid'][row, :count] = True
