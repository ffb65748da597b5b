"""Table of the kinds of annotation, and the fields of a configuration."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool
from ml_collections import ConfigDict

from input_pipeline.fields.boxes import Boxes
from input_pipeline.fields.columns import Columns
from input_pipeline.fields.field import Companion, ImageField, Kind, ObjectField
from input_pipeline.fields.image_labels import ImageLabels
from input_pipeline.fields.keypoints import Keypoints
from input_pipeline.fields.masks import Masks
from input_pipeline.fields.placed import BEYOND_MAX, PlacedObjects
from input_pipeline.fields.scene import Scene
from input_pipeline.fields.semantic import Semantic
from input_pipeline.records import Records
from input_pipeline.resize import Size

KINDS: Mapping[str, type[Kind]] = {
  'boxes': Boxes,
  'masks': Masks,
  'keypoints': Keypoints,
  'image_labels': ImageLabels,
  'semantic': Semantic,
}


@dataclasses.dataclass(frozen=True)
class Fields:
  """Kinds of annotation in batches."""

  objects: tuple[ObjectField, ...]
  images: tuple[ImageField, ...]
  max_objects: int  # per image

  @property
  def wanted(self) -> tuple[str, ...]:
    """Optional features of records that these fields need."""
    return tuple(name for field in (*self.objects, *self.images) for name in field.OPTIONAL)

  @property
  def companions(self) -> tuple[Companion, ...]:
    """Files that records must hold for these fields."""
    return tuple(companion for field in (*self.objects, *self.images) for companion in field.companions)

  @property
  def lacking(self) -> tuple[str, ...]:
    """Names of counts of objects that are dropped since they lack one of these fields."""
    return tuple(field.LACKING for field in self.objects if field.LACKING)

  def check(self, records: Records, path: str) -> None:
    """Raises a ValueError if records, made from annotations at `path`, lack one of the fields."""
    for field in (*self.objects, *self.images):
      field.check(records, path)

  def columns(self, images: int, canvas: Size) -> Columns:
    """Makes empty arrays for `images` images on a canvas."""
    columns = {}
    for field in self.objects:
      columns |= field.columns(images, self.max_objects)
    for field in self.images:
      columns |= field.columns(images, canvas)
    return columns

  def kept(self, scene: Scene) -> tuple[Bool[np.ndarray, 'N'], dict[str, int]]:
    """Mask of the objects that no kind excludes and all have an annotation of; numbers of those without, by kind."""
    keep = np.logical_and.reduce([field.keep(scene) for field in self.objects])
    left_out = {}
    for field in self.objects:
      if field.LACKING:
        known = field.known(scene)
        left_out[field.LACKING] = int((keep & ~known).sum())
        keep &= known
    return keep, left_out

  def place(self, scene: Scene) -> PlacedObjects:
    """Objects for training on the canvas, in the order of the annotation file.

    Drops objects that a kind excludes or has no annotation of, then those beyond `max_objects`.
    """
    keep, left_out = self.kept(scene)
    rows = np.flatnonzero(keep)
    left_out[BEYOND_MAX] = max(len(rows) - self.max_objects, 0)
    rows = rows[: self.max_objects]
    return PlacedObjects({field.name: field.place(scene, rows) for field in self.objects}, left_out)

  def write(self, scene: Scene, placed: PlacedObjects, columns: Columns, row: int) -> None:
    """Writes objects and image annotations into an empty row of a batch."""
    for field in self.objects:
      field.write(placed[field.name], columns, row)
    for field in self.images:
      field.write(field.place(scene), columns, row)


def training_fields(data: ConfigDict, num_classes: int) -> Fields:
  """Fields of config.data for training.

  Raises:
    ValueError: a setting does not fit.
  """
  found = [field for kind in KINDS.values() if (field := kind.of(data, num_classes)) is not None]
  objects = tuple(field for field in found if isinstance(field, ObjectField))
  return Fields(objects, tuple(field for field in found if isinstance(field, ImageField)), data.max_objects)


def evaluation_fields(data: ConfigDict) -> Fields:
  """Fields for evaluation, without objects (ground truth is read from the annotation file) and outlines of targets."""
  masks = (Masks(data.mask_size, max_vertices=0),) if data.mask_size else ()
  return Fields((Boxes(), *masks), (), max_objects=0)
