"""Masks of objects: bitmaps in a window around each object, and outlines (`structures.InstanceMasks`)."""

import dataclasses
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8
from ml_collections import ConfigDict

from input_pipeline import rasterize
from input_pipeline.fields.columns import Columns
from input_pipeline.fields.field import Features, ObjectField
from input_pipeline.fields.scene import Scene
from input_pipeline.polygons import Polygons
from input_pipeline.records import Records
from jaxdet.annotations.objects import Objects


@dataclasses.dataclass(frozen=True)
class PlacedMasks:
  """Masks of N objects on the canvas."""

  bits: UInt8[np.ndarray, 'N M M/8']
  windows: Float32[np.ndarray, 'N 4']
  polygons: Polygons  # objects may have bits alone

  def take(self, rows: Int[np.ndarray, 'n']) -> 'PlacedMasks':
    kept = np.isin(np.arange(len(self.bits)), rows)
    return PlacedMasks(self.bits[rows], self.windows[rows], self.polygons.take(kept))

  def followed_by(self, others: 'PlacedMasks') -> 'PlacedMasks':
    return PlacedMasks(
      np.concatenate([self.bits, others.bits]),
      np.concatenate([self.windows, others.windows]),
      self.polygons.followed_by(others.polygons, len(self.bits)),
    )


@dataclasses.dataclass(frozen=True)
class Masks(ObjectField):
  """Masks of objects; drops objects without a mask (as in Detectron2) or with all polygons outside the crop."""

  size: int  # M, cells per side of a window; a multiple of 8
  max_vertices: int  # per object's outline; 0: no outlines

  name = 'masks'
  LACKING = 'objects_without_mask'
  PART = 'objects'
  FEATURES = {
    'objects/polygons_per_object': ('int64', (None,)),
    'objects/polygon_lengths': ('int64', (None,)),
    'objects/polygon_points': ('float32', (None,)),
    'objects/rle': ('bytes', (None,)),
  }

  def __post_init__(self):
    if self.size % 8:
      raise ValueError(f'data.mask_size {self.size} is no multiple of 8')

  @staticmethod
  def features(annotations: Objects) -> Features:
    return {name: getattr(annotations, name.removeprefix('objects/')) for name in Masks.FEATURES}

  @staticmethod
  def read(features: Features) -> dict[str, Any]:
    return {name.removeprefix('objects/'): features[name] for name in Masks.FEATURES}

  @classmethod
  def of(cls, data: ConfigDict, num_classes: int) -> Self | None:
    del num_classes
    if data.max_vertices and not data.mask_size:
      raise ValueError(f'data.max_vertices is {data.max_vertices} and data.mask_size 0: set both, or neither')
    return cls(data.mask_size, data.max_vertices) if data.mask_size else None

  def check(self, records: Records, path: str) -> None:
    if 0 < records.counts['objects'] == records.counts['objects_without_mask']:
      raise ValueError(
        f'no object of {path} has a mask, so training with masks would leave all out: '
        'set config.data.mask_size and config.data.max_vertices to 0, and choose a detector without masks'
      )

  def columns(self, images: int, objects: int) -> Columns:
    rows, size, vertices = (images, objects), self.size, self.max_vertices
    columns = {
      'objects/masks/bits': np.zeros((*rows, size, size // 8), np.uint8),
      'objects/masks/windows': np.zeros((*rows, 4), np.float32),
    }
    if vertices:
      columns['objects/masks/outlines'] = np.zeros((*rows, vertices, 2), np.float32)
      columns['objects/masks/outline_parts'] = np.full((*rows, vertices), -1, np.int8)
    return columns

  def keep(self, scene: Scene) -> Bool[np.ndarray, 'N']:
    return scene.outlined if scene.cuts else super().keep(scene)

  def known(self, scene: Scene) -> Bool[np.ndarray, 'N']:
    return scene.has_polygons | np.array([bool(runs) for runs in scene.objects.rle], np.bool_)

  def place(self, scene: Scene, rows: Int[np.ndarray, 'n']) -> PlacedMasks:
    placement, has_polygons = scene.placement, scene.has_polygons
    polygons = scene.polygons.take(np.isin(np.arange(len(has_polygons)), rows))
    windows = rasterize.mask_windows(scene.boxes[rows], self.size)
    bits = rasterize.rasterize_polygons(polygons, windows, self.size)
    runs = np.flatnonzero(~has_polygons[rows])
    if len(runs):
      counts = [scene.objects.rle[index] for index in rows[runs]]
      way = placement.file_size, placement.scale, placement.offset
      bits[runs] = rasterize.resample_runs(counts, *way, windows[runs], self.size)
    bits = rasterize.clear_outside(bits, windows, *placement.size)
    return PlacedMasks(rasterize.pack(bits), windows, polygons)

  def write(self, placed: PlacedMasks, columns: Columns, row: int) -> None:
    count = len(placed.bits)
    columns['objects/masks/bits'][row, :count] = placed.bits
    columns['objects/masks/windows'][row, :count] = placed.windows
    if self.max_vertices:
      outlines, parts = placed.polygons.outlines(count, self.max_vertices)
      columns['objects/masks/outlines'][row, :count] = outlines
      columns['objects/masks/outline_parts'][row, :count] = parts
