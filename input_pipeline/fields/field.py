"""The contract of a kind of annotation, on its way from a record into the arrays of a batch.

A kind is a class in a file of its own and a line in `table.KINDS`. What it has in records does not depend on the
configuration; an instance, with settings, is what the configuration asks for.
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

Features = Mapping[str, np.ndarray | list[bytes]]  # of a record, by name, stored flat
Schema = Mapping[str, tuple[str, tuple]]  # of features: 'bytes', 'int64' or 'float32', and the shape


@dataclasses.dataclass(frozen=True)
class Companion:
  """Files beside the images, one for each, that go into records as they are."""

  feature: str  # of records
  folder: str  # below config.data.dir
  suffix: str  # of their names, in place of that of the images' names
  problem: Callable[[bytes, int, int], str]  # (file, height, width of the image): what is wrong with it, '' if nothing


class Kind:
  """What a kind of annotation has in records, and what the configuration asks for of it.

  `PART` says where its annotations are in an example: 'objects' (annotations.Objects), or 'image' (ImageAnnotations).
  """

  PART: str
  FEATURES: Schema = {}  # of every record
  OPTIONAL: Schema = {}  # of all records of a split or of none: annotations need not have them

  @staticmethod
  def features(annotations: Any) -> Features:
    """The record's features, from the part of an example."""
    raise NotImplementedError

  @staticmethod
  def read(features: Features) -> dict[str, Any]:
    """Fields of the part, from a record's features."""
    raise NotImplementedError

  @classmethod
  def of(cls, data: ConfigDict, num_classes: int) -> Self | None:
    """The field that config.data asks for in training; None: none."""
    raise NotImplementedError

  @property
  def companions(self) -> tuple[Companion, ...]:
    """Files that records must hold for this field."""
    return ()

  def check(self, records: Records, path: str) -> None:
    """Raises a ValueError where the records, which were made from annotations at `path`, cannot give the field."""


class Placed(Protocol):
  """A kind's annotations of N objects on the canvas."""

  def take(self, rows: Int[np.ndarray, 'n']) -> Self:
    """Those of these objects, which ascend."""

  def followed_by(self, others: Self) -> Self:
    """These, then those of other objects on the same canvas."""


class ObjectField(Kind):
  """A field of `structures.Objects`: something of every object."""

  name: str  # of the field
  LACKING = ''  # the counter of objects of which it is not known

  def columns(self, images: int, objects: int) -> Columns:
    """Arrays for so many images of so many objects, empty."""
    raise NotImplementedError

  def keep(self, scene: Scene) -> Bool[np.ndarray, 'N']:
    """Objects that training may use, as far as this kind can tell."""
    return np.ones(len(scene.objects.labels), np.bool_)

  def known(self, scene: Scene) -> Bool[np.ndarray, 'N']:
    """Objects that are annotated with it; the others are left out, and counted by LACKING."""
    return np.ones(len(scene.objects.labels), np.bool_)

  def place(self, scene: Scene, rows: Int[np.ndarray, 'n']) -> Placed:
    """These objects' annotations on the canvas."""
    raise NotImplementedError

  def write(self, placed: Placed, columns: Columns, row: int) -> None:
    """Puts them into an image's row that is still empty."""
    raise NotImplementedError


class ImageField(Kind):
  """A field of `structures.Batch`: something of an image as a whole."""

  name: str

  def columns(self, images: int, canvas: Size) -> Columns:
    """Arrays for so many images on a canvas, empty."""
    raise NotImplementedError

  def place(self, scene: Scene) -> Any:
    """The image's annotation on the canvas."""
    raise NotImplementedError

  def write(self, placed: Any, columns: Columns, row: int) -> None:
    """Puts it into an image's row that is still empty."""
    raise NotImplementedError
