"""A class for every pixel of an image: a PNG beside each image, whose values are classes.

A map follows its image by nearest neighbours, which never mix classes. Programs differ in which is the nearest of a
pixel when sizes change: 'corner' is OpenCV's (mmdetection), the pixel that holds its top left, 'centre' Pillow's
(Detectron2), the one that holds its middle.
"""

import dataclasses
import io
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from jaxtyping import Int, Int32
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline import images
from input_pipeline.fields.columns import Columns
from input_pipeline.fields.field import Companion, Features, ImageField
from input_pipeline.fields.scene import Scene
from input_pipeline.resize import Size
from input_pipeline.transforms import Placement
from jaxdet.annotations.objects import ImageAnnotations
from jaxdet.parts import find

FEATURE = 'semantic/encoded'
UNKNOWN = -1  # of pixels that do not count, and of the canvas beside the image
MODES = ('L', 'P', 'I', 'I;16')  # of PNGs with one number a pixel


def nearest_corners(resized: int, size: int) -> Int[np.ndarray, 'resized']:
  """The place among `size` ones of each of `resized` ones, by their beginnings; rounded as OpenCV does."""
  return np.floor(np.arange(resized) * (1.0 / (resized / size))).astype(np.int64).clip(0, size - 1)


def nearest_centres(resized: int, size: int) -> Int[np.ndarray, 'resized']:
  """The place among `size` ones of each of `resized` ones, by their middles; rounded as Pillow does, which adds up."""
  steps = np.full(resized, size / resized)
  steps[0] /= 2
  return np.floor(np.cumsum(steps)).astype(np.int64).clip(0, size - 1)


Nearest = Callable[[int, int], Int[np.ndarray, 'resized']]
NEAREST: Mapping[str, Nearest] = {'corner': nearest_corners, 'centre': nearest_centres}


@dataclasses.dataclass(frozen=True)
class Semantic(ImageField):
  """Maps in `folder`, below config.data.dir, by the images' names with `suffix` in place of theirs."""

  folder: str
  suffix: str
  ignore: int  # the value of pixels that do not count
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
  """What is wrong with a map's file, '' if nothing."""
  if found := images.check(encoded, height, width):
    return found
  with Image.open(io.BytesIO(encoded)) as image:
    return '' if image.mode in MODES else f'has {image.mode} pixels, not one number for each'


def sources(placement: Placement, axis: int, nearest: Nearest) -> Int[np.ndarray, 'n']:
  """The row (axis 0) or column (1) of the file under each one of the image on the canvas; -1: it lies outside.

  Args:
    nearest: one of NEAREST, for every change of size on the way.
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
