"""Places a file on the canvas: resizes, crops, flips.

Together these are one affine map per image, a `Placement`, drawn from the random stream of the image's position in
training. It is applied to the image and to every kind of annotation (fields/).
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Float32, UInt8
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline import center_crop, random_crop, ssd_augmentation
from input_pipeline.random_crop import Crop
from input_pipeline.resize import Size, inside_size, random_offset, resize, shortest_edge_size

RESIZES = ('shortest_edge', 'large_scale_jitter', 'stretch', 'center_crop')
NO_BOXES = np.zeros((0, 4), np.float32)


@dataclasses.dataclass(frozen=True)
class Placement:
  """Affine map from a file to the canvas: resized, then cropped, then flipped, at the canvas's top left."""

  file_size: Size
  resized_size: Size
  crop_offset: Size  # (y, x) in the resized image
  size: Size  # on the canvas
  flipped: bool = False
  tight_boxes: bool = False  # recompute boxes from the polygons, since crops cut objects
  shrunk: bool = False  # smaller than the recipe's size, to fit the canvas
  crop: Crop | None = None  # crop of the file before it is resized to `resized_size`

  @property
  def scale(self) -> Float[np.ndarray, '2']:
    """(x, y) factors: canvas = file * scale + offset."""
    y, x = np.divide(self.resized_size, self._taken_size)
    if self.crop:
      y, x = np.divide(self.crop.resized_size, self.file_size) * (y, x)
    return np.array([-x if self.flipped else x, y])

  @property
  def offset(self) -> Float[np.ndarray, '2']:
    """(x, y) in canvas pixels."""
    y, x = self.crop_offset
    if self.crop:
      y, x = np.divide(self.resized_size, self._taken_size) * self.crop.offset + (y, x)
    return np.array([self.size[1] + x if self.flipped else -x, -y], np.float64)

  @property
  def _taken_size(self) -> Size:
    """Size before resizing: the crop's, or the file's."""
    return self.crop.size if self.crop else self.file_size


def training_placement(
  file_size: Size,
  canvas: Size,
  recipe: ConfigDict,
  flip: float,
  stream: np.random.Generator,
  tall: bool | None = None,
  boxes: Float32[np.ndarray, 'N 4'] = NO_BOXES,
) -> Placement:
  """Draws a random placement after `recipe`, the configuration's data.resize.

  'shortest_edge': the shorter side has one of `sizes`, the longer at most `max_size`; with `crop.probability` on a
  random crop of the file (random_crop.py). 'large_scale_jitter': the image fits into the canvas times a factor from
  `jitter`, then a random part of the canvas's size is cropped (Detectron2's new baselines: ResizeScale, FixedSizeCrop).
  'stretch': the file, or with `window` a random window of it (ssd_augmentation.py), is stretched to the canvas.
  'center_crop': a random square (center_crop.py) is stretched to the canvas.

  Args:
    flip: probability of a horizontal flip.
    tall: orientation of the crop, if the canvas depends on it; None: either.
    boxes: all objects of the file, on which windows depend.
  """
  if recipe.name == 'shortest_edge':
    crop = random_crop.draw(file_size, recipe, tall, stream) if recipe.crop.probability else None
    shortest = int(stream.choice(recipe.sizes))
    placement = _whole(crop.size if crop else file_size, canvas, shortest, recipe.max_size)
    placement = dataclasses.replace(placement, file_size=file_size, crop=crop)
  elif recipe.name == 'large_scale_jitter':
    resized = inside_size(file_size, canvas, stream.uniform(*recipe.jitter))
    size = (min(resized[0], canvas[0]), min(resized[1], canvas[1]))
    offset = random_offset(resized, size, stream.random())
    placement = Placement(file_size, resized, offset, size, tight_boxes=True)
  elif recipe.name == 'stretch':
    window = ssd_augmentation.draw(file_size, boxes, recipe.window, stream)
    placement = _stretched(file_size, canvas, window)
  elif recipe.name == 'center_crop':
    placement = _stretched(file_size, canvas, center_crop.draw(file_size, canvas, boxes, recipe.center_crop, stream))
  else:
    raise ValueError(f"unknown data.resize.name '{recipe.name}': choose one of {', '.join(RESIZES)}")
  return dataclasses.replace(placement, flipped=bool(stream.random() < flip))


def placement_on(
  canvas: int, file_size: Size, data: ConfigDict, stream: np.random.Generator, boxes: Float32[np.ndarray, 'N 4']
) -> Placement:
  """Draws a random placement on canvas number `canvas` of data.canvases, after config.data."""
  tall = bool(canvas) if len(data.canvases) == 2 else None
  return training_placement(file_size, data.canvases[canvas], data.resize, data.flip, stream, tall, boxes)


def evaluation_placement(file_size: Size, canvas: Size, recipe: ConfigDict) -> Placement:
  """Placement of the whole image, not random: with `test_size` and `max_size`, stretched, or in the file's size."""
  if recipe.name == 'stretch':
    return _stretched(file_size, canvas)
  if recipe.name == 'center_crop':
    return _whole(file_size, canvas, min(file_size), max(file_size))
  return _whole(file_size, canvas, recipe.test_size, recipe.max_size)


def part(placement: Placement, offset: Size, size: Size) -> Placement:
  """Placement of the part of size `size` at `offset` (y, x) of the placement's own canvas."""
  y, x = offset
  if placement.flipped:
    x = placement.size[1] - x - size[1]
  offset = (placement.crop_offset[0] + y, placement.crop_offset[1] + x)
  return dataclasses.replace(placement, crop_offset=offset, size=size)


def cut(placement: Placement, size: Size, stream: np.random.Generator) -> Placement:
  """Draws a random part of the placement of at most `size`; it cuts objects if it is smaller than the placement."""
  smaller = (min(placement.size[0], size[0]), min(placement.size[1], size[1]))
  if smaller == placement.size:
    return placement
  offset = random_offset(placement.size, smaller, stream.random())
  return dataclasses.replace(part(placement, offset, smaller), tight_boxes=True)


def place_image(image: Image.Image, placement: Placement, canvas: UInt8[np.ndarray, 'H W 3']) -> None:
  """Writes the RGB image into the top left of the canvas."""
  if crop := placement.crop:
    image = random_crop.take(image, crop)
  part = resize(image, placement.resized_size, placement.crop_offset, placement.size)
  if placement.flipped:
    part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  canvas[: placement.size[0], : placement.size[1]] = np.asarray(part)


def _stretched(file_size: Size, canvas: Size, crop: Crop | None = None) -> Placement:
  return Placement(file_size, canvas, (0, 0), canvas, crop=crop)


def _whole(file_size: Size, canvas: Size, shortest: int, longest: int) -> Placement:
  size = shortest_edge_size(file_size, shortest, longest)
  shrunk = size[0] > canvas[0] or size[1] > canvas[1]
  if shrunk:
    size = inside_size(file_size, canvas)
  return Placement(file_size, size, (0, 0), size, shrunk=shrunk)
