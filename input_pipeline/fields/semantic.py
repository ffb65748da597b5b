"""Semantic maps: a PNG beside each image, whose pixel values are classes.

Maps are resized by nearest neighbours, which never mix classes. Programs choose different neighbours: 'corner' as in
OpenCV (mmdetection) is the source pixel under the top left corner of the new pixel, 'centre' as in Pillow (Detectron2)
the one under its centre.
"""

import dataclasses
import io
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from jaxtyping import Int, Int32
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline import decoding
from input_pipeline.fields.columns import Columns
from input_pipeline.fields.field import Companion, Features, ImageField
from input_pipeline.fields.scene import Scene
from input_pipeline.resize import Size
from input_pipeline.transforms import Placement
from jaxdet.annotations.objects import ImageAnnotations
from jaxdet.parts import find

FEATURE = 'semantic/encoded'
UNKNOWN = -1  # class of ignored pixels, and of the canvas beside the image
MODES = ('L', 'P', 'I', 'I;16')  # of PNGs with one number per pixel


def nearest_corners(resized: int, size: int) -> Int[np.ndarray, 'resized']:
  """Source index among `size` pixels of each of `resized` pixels, by their first edge; rounded as in OpenCV."""
  return np.floor(np.arange(resized) * (1.0 / (resized / size))).astype(np.int64).clip(0, size - 1)


def nearest_centres(resized: int, size: int) -> Int[np.ndarray, 'resized']:
  """Source index among `size` pixels of each of `resized` pixels, by their centre; a cumulative sum, as in Pillow."""
  steps = np.full(resized, size / resized)
  steps[0] /= 2
  return np.floor(np.cumsum(steps)).astype(np.int64).clip(0, size - 1)


Nearest = Callable[[int, int], Int[np.ndarray, 'resized']]
NEAREST: Mapping[str, Nearest] = {'corner': nearest_corners, 'centre': nearest_centres}


@dataclasses.dataclass(frozen=True)
class Semantic(ImageField):
  """Maps in `folder`, below config.data.dir; file names are the images' with the suffix `suffix`."""

  folder: str
  suffix: str
  ignore: int  # value of ignored pixels
  nearest: str  # 'corner' or 'centre'

  name = 'semantic'
  PART = 'image'
  OPTIONAL = {FEATURE: ('bytes', ())}

  def __post_init__(self):
    find(NEAREST, self.nearest, 'data.semantic.nearest')

  @staticmethod
  def features(annotations: ImageAnnotations) -> Features:
    return {FEATURE: [annotations.files[FEATURE]]} if FEATURE in annotations.files else {}

  @staticmethod
  def read(features: Features) -> dict[str, Any]:
    return {'files': {FEATURE: features[FEATURE][0]} if FEATURE in features else {}}

  @classmethod
  def of(cls, data: ConfigDict, num_classes: int) -> Self | None:
    del num_classes
    settings = data.semantic
    if not settings.dir:
      return None
    return cls(settings.dir, settings.suffix, settings.ignore, settings.nearest)

  @property
  def companions(self) -> tuple[Companion, ...]:
    return (Companion(FEATURE, self.folder, self.suffix, problem),)

  def columns(self, images: int, canvas: Size) -> Columns:
    return {'semantic': np.full((images, *canvas), UNKNOWN, np.int32)}

  def place(self, scene: Scene) -> Int32[np.ndarray, 'h w']:
    classes = np.asarray(Image.open(io.BytesIO(scene.image.files[FEATURE]))).astype(np.int32)
    rows, columns = (sources(scene.placement, axis, NEAREST[self.nearest]) for axis in (0, 1))
    placed = classes[np.ix_(rows, columns)]
    placed[(placed == self.ignore) | (rows < 0)[:, None] | (columns < 0)] = UNKNOWN
    return placed

  def write(self, placed: Int32[np.ndarray, 'h w'], columns: Columns, row: int) -> None:
    columns['semantic'][row, : placed.shape[0], : placed.shape[1]] = placed


def problem(encoded: bytes, height: int, width: int) -> str:
  """Describes the problem of a map's file; '' if there is none."""
  if found := decoding.check_map(encoded, height, width):
    return found
  with Image.open(io.BytesIO(encoded)) as image:
    return '' if image.mode in MODES else f'has {image.mode} pixels, not one number for each'


def sources(placement: Placement, axis: int, nearest: Nearest) -> Int[np.ndarray, 'n']:
  """Row (axis 0) or column (1) of the file for each row or column of the image on the canvas; -1: outside the file.

  Args:
    nearest: one of NEAREST, used at each resizing.
  """
  place = np.arange(placement.size[axis])
  if axis == 1 and placement.flipped:
    place = place[::-1]
  place = place + placement.crop_offset[axis]
  crop, size = placement.crop, placement.file_size[axis]
  if crop is None:
    return nearest(placement.resized_size[axis], size)[place]
  place = nearest(placement.resized_size[axis], crop.size[axis])[place] + crop.offset[axis]
  outside = (place < 0) | (place >= crop.resized_size[axis])
  return np.where(outside, -1, nearest(crop.resized_size[axis], size)[np.where(outside, 0, place)])
