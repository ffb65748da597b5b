"""Interface of a kind of annotation, from a record to the arrays of a batch.

A kind is a class in its own file and a line in `table.KINDS`. Its features in records do not depend on the
configuration; an instance of the class holds the settings of a configuration.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

import numpy as np
from jaxtyping import Bool, Int
from ml_collections import ConfigDict

from input_pipeline.fields.columns import Columns
from input_pipeline.fields.scene import Scene
from input_pipeline.records import Records
from input_pipeline.resize import Size

Features = Mapping[str, np.ndarray | list[bytes]]  # flat arrays of a record, by name
Schema = Mapping[str, tuple[str, tuple]]  # type ('bytes', 'int64' or 'float32') and shape of features, by name


@dataclasses.dataclass(frozen=True)
class Companion:
  """Files beside the images, one per image, stored in records unchanged."""

  feature: str  # name in records
  folder: str  # below config.data.dir
  suffix: str  # replaces that of the image's file name
  problem: Callable[[bytes, int, int], str]  # (file, height, width of the image) to a description; '': no problem


class Kind:
  """Base class: features of a kind of annotation in records, and its settings in a configuration.

  `PART` is the part of an example with its annotations: 'objects' (annotations.Objects) or 'image' (ImageAnnotations).
  """

  PART: str
  FEATURES: Schema = {}  # in every record
  OPTIONAL: Schema = {}  # in all records of a split or in none: annotations may lack them

  @staticmethod
  def features(annotations: Any) -> Features:
    """Features of a record, from the part of an example."""
    raise NotImplementedError

  @staticmethod
  def read(features: Features) -> dict[str, Any]:
    """Fields of the part, from a record's features."""
    raise NotImplementedError

  @classmethod
  def of(cls, data: ConfigDict, num_classes: int) -> Self | None:
    """Makes the field from config.data for training; None if batches shall not have it."""
    raise NotImplementedError

  @property
  def companions(self) -> tuple[Companion, ...]:
    """Files that records must hold for this field."""
    return ()

  def check(self, records: Records, path: str) -> None:
    """Raises a ValueError if records, made from annotations at `path`, lack the field."""


class Placed(Protocol):
  """A kind's annotations of N objects on the canvas."""

  def take(self, rows: Int[np.ndarray, 'n']) -> Self:
    """Annotations of these objects; `rows` ascend."""

  def followed_by(self, others: Self) -> Self:
    """Appends annotations of other objects on the same canvas."""


class ObjectField(Kind):
  """A field of `structures.Objects`: one value per object."""

  name: str  # of the field
  LACKING = ''  # counter of objects without this annotation

  def columns(self, images: int, objects: int) -> Columns:
    """Makes empty arrays for `images` images with `objects` objects each."""
    raise NotImplementedError

  def keep(self, scene: Scene) -> Bool[np.ndarray, 'N']:
    """Mask of the objects that this kind does not exclude from training."""
    return np.ones(len(scene.objects.labels), np.bool_)

  def known(self, scene: Scene) -> Bool[np.ndarray, 'N']:
    """Mask of the objects with this annotation; the others are dropped, and counted by LACKING."""
    return np.ones(len(scene.objects.labels), np.bool_)

  def place(self, scene: Scene, rows: Int[np.ndarray, 'n']) -> Placed:
    """Annotations of these objects on the canvas."""
    raise NotImplementedError

  def write(self, placed: Placed, columns: Columns, row: int) -> None:
    """Writes placed annotations into the empty row of an image."""
    raise NotImplementedError


class ImageField(Kind):
  """A field of `structures.Batch`: one value per image."""

  name: str

  def columns(self, images: int, canvas: Size) -> Columns:
    """Makes empty arrays for `images` images on a canvas."""
    raise NotImplementedError

  def place(self, scene: Scene) -> Any:
    """Annotation of the image on the canvas."""
    raise NotImplementedError

  def write(self, placed: Any, columns: Columns, row: int) -> None:
    """Writes a placed annotation into the empty row of an image."""
    raise NotImplementedError
