"""Keypoints of objects, such as the joints of a person.

Annotation files have pixel indices, whole numbers from 0; on the canvas keypoints are pixel centres, as in Detectron2.
A point outside the image becomes unknown (visibility 0), and unknown points have coordinates 0.
"""

import dataclasses
from typing import Any, Self

import numpy as np
from jaxtyping import Float32, Int
from ml_collections import ConfigDict

from input_pipeline.fields.columns import Columns
from input_pipeline.fields.field import Features, ObjectField
from input_pipeline.fields.scene import Scene
from input_pipeline.records import Records
from jaxdet.annotations.objects import Objects


@dataclasses.dataclass(frozen=True)
class PlacedKeypoints:
  """Keypoints of N objects on the canvas."""

  points: Float32[np.ndarray, 'N P 3']  # (x, y, visibility: 0 unknown, 1 hidden, 2 visible)

  def take(self, rows: Int[np.ndarray, 'n']) -> 'PlacedKeypoints':
    return PlacedKeypoints(self.points[rows])

  def followed_by(self, others: 'PlacedKeypoints') -> 'PlacedKeypoints':
    return PlacedKeypoints(np.concatenate([self.points, others.points]))


@dataclasses.dataclass(frozen=True)
class Keypoints(ObjectField):
  """Keypoints of objects; objects without keypoints are kept, with all points unknown."""

  count: int  # P, points per object
  flip_pairs: tuple[tuple[int, int], ...]  # points that a horizontal flip exchanges, such as left and right

  name = 'keypoints'
  PART = 'objects'
  OPTIONAL = {'objects/keypoints': ('float32', (None,))}

  def __post_init__(self):
    places = [place for pair in self.flip_pairs for place in pair]
    if len(set(places)) < len(places) or not set(places) <= set(range(self.count)):
      raise ValueError(
        f'data.keypoints.flip_pairs {self.flip_pairs}: give pairs of different points of 0 .. {self.count - 1}'
      )

  @staticmethod
  def features(annotations: Objects) -> Features:
    return {} if annotations.keypoints is None else {'objects/keypoints': annotations.keypoints}

  @staticmethod
  def read(features: Features) -> dict[str, Any]:
    if 'objects/keypoints' not in features:
      return {'keypoints': None}
    objects = len(features['objects/label'])
    flat = features['objects/keypoints']
    return {'keypoints': flat.reshape(objects, -1, 3) if objects else np.zeros((0, 0, 3), np.float32)}

  @classmethod
  def of(cls, data: ConfigDict, num_classes: int) -> Self | None:
    del num_classes
    settings = data.keypoints
    return cls(settings.points, tuple(map(tuple, settings.flip_pairs))) if settings.points else None

  def check(self, records: Records, path: str) -> None:
    found = records.counts.get('keypoints_per_object', 0)
    if found != self.count:
      raise ValueError(f'data.keypoints.points is {self.count}, and objects of {path} have {found}: set it to that')

  def columns(self, images: int, objects: int) -> Columns:
    return {'objects/keypoints': np.zeros((images, objects, self.count, 3), np.float32)}

  def place(self, scene: Scene, rows: Int[np.ndarray, 'n']) -> PlacedKeypoints:
    if not len(rows):
      return PlacedKeypoints(np.zeros((0, self.count, 3), np.float32))
    placement = scene.placement
    points = scene.objects.keypoints[rows].astype(np.float64)
    xy = (points[..., :2] + 0.5) * placement.scale + placement.offset
    height, width = placement.size
    known = (points[..., 2] > 0) & ((xy >= 0) & (xy <= (width, height))).all(axis=-1)
    points = np.where(known[..., None], np.concatenate([xy, points[..., 2:]], axis=-1), 0.0)
    if placement.flipped:
      order = np.arange(self.count)
      for one, other in self.flip_pairs:
        order[[one, other]] = other, one
      points = points[:, order]
    return PlacedKeypoints(points.astype(np.float32))

  def write(self, placed: PlacedKeypoints, columns: Columns, row: int) -> None:
    columns['objects/keypoints'][row, : len(placed.points)] = placed.points
