"""SSD's random windows in training (Liu et al., 2016): images are expanded on grey, or cropped around an object.

As mmdetection's Expand and MinIoURandomCrop. Some images are placed at random on a plain ground of up to `expand_ratio`
times their sides. Then a rule is drawn: the whole, a crop with a least IoU with every object, or any crop. Of 50 random
crops the first is taken that satisfies the rule, is not narrower than 1:2 and contains an object's centre; if there is
none, another rule is drawn. Both together are one window on the file, which may reach beyond it. Objects whose centre
lies outside are dropped.

`recipe` is `config.data.resize.window`.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from ml_collections import ConfigDict

from input_pipeline.random_crop import Crop
from input_pipeline.resize import Size

TRIES = 50  # random crops before another rule is drawn
WHOLE, ANY = 1.0, 0.0  # rules other than least IoUs
NARROWEST = 0.5  # least ratio of a crop's sides


def check(resize: ConfigDict, canvases: int) -> None:
  """Raises a ValueError if config.data.resize has windows that do not go with its other settings."""
  if not is_used(resize.window):
    return
  if resize.name != 'stretch' or resize.crop.probability or canvases > 1:
    raise ValueError(
      f"data.resize.window belongs to data.resize.name 'stretch' on one canvas, without data.resize.crop; here it is "
      f"'{resize.name}' on {canvases}: set its expand_probability to 0 and its min_ious to ()"
    )


def is_used(recipe: ConfigDict) -> bool:
  """True if images can be expanded or cropped."""
  return bool(recipe.expand_probability or recipe.min_ious)


def draw(
  file_size: Size, boxes: Float[np.ndarray, 'N 4'], recipe: ConfigDict, stream: np.random.Generator
) -> Crop | None:
  """Draws a random window; None for the whole file.

  Args:
    file_size: (height, width) of the file.
    boxes: of all objects, in file pixels.
  """
  size, (top, left) = _expanded(file_size, recipe, stream)
  moved = boxes + np.tile([left, top], 2)
  x1, y1, x2, y2 = _part(size, moved, recipe, stream) if recipe.min_ious else (0, 0, size[1], size[0])
  if (x1 - left, y1 - top, x2 - left, y2 - top) == (0, 0, file_size[1], file_size[0]):
    return None
  return Crop(file_size, (y1 - top, x1 - left), (y2 - y1, x2 - x1), ground=tuple(recipe.ground), by_middle=True)


def _expanded(file_size: Size, recipe: ConfigDict, stream: np.random.Generator) -> tuple[Size, Size]:
  """Draws the size of the ground, and the file's offset (y, x) on it."""
  if stream.random() >= recipe.expand_probability:
    return file_size, (0, 0)
  ratio = stream.uniform(1, recipe.expand_ratio)
  size = tuple(int(side * ratio) for side in file_size)
  # Drawn from the free range before rounding: with a small ratio the last pixel may be missing.
  offset = tuple(
    min(int(stream.uniform(0, side * ratio - side)), whole - side) for side, whole in zip(file_size, size, strict=True)
  )
  return size, offset


def _part(
  size: Size, boxes: Float[np.ndarray, 'N 4'], recipe: ConfigDict, stream: np.random.Generator
) -> tuple[int, int, int, int]:
  """Draws a crop (x1, y1, x2, y2) of an image of this size."""
  while True:
    rule = float(stream.choice([WHOLE, *recipe.min_ious, ANY]))
    if rule == WHOLE:
      return 0, 0, size[1], size[0]
    whole = np.array([size[1], size[0]])
    sides = stream.uniform(recipe.min_side * whole, whole, (TRIES, 2))
    starts = stream.uniform(0, whole - sides)
    parts = np.concatenate([starts, starts + sides], axis=1).astype(np.int64)
    ratio = sides[:, 1] / sides[:, 0]
    fits = (ratio >= NARROWEST) & (ratio <= 1 / NARROWEST) & (parts[:, 2:] > parts[:, :2]).all(axis=1)
    if len(boxes):
      fits &= (_ious(parts, boxes).min(axis=1) >= rule) & has_middle(boxes, parts).any(axis=1)
    if fits.any():
      return tuple(parts[fits.argmax()].tolist())


def has_middle(boxes: Float[np.ndarray, 'N 4'], parts: Int[np.ndarray, 'P 4']) -> Bool[np.ndarray, 'P N']:
  """True if the centre of a box lies inside a crop, not on its border."""
  middles = (boxes[:, :2] + boxes[:, 2:]) / 2
  return ((middles > parts[:, None, :2]) & (middles < parts[:, None, 2:])).all(axis=-1)


def _ious(parts: Int[np.ndarray, 'P 4'], boxes: Float[np.ndarray, 'N 4']) -> Float[np.ndarray, 'P N']:
  sides = np.minimum(parts[:, None, 2:], boxes[:, 2:]) - np.maximum(parts[:, None, :2], boxes[:, :2])
  both = sides.clip(0).prod(axis=-1)
  areas = [(x[:, 2:] - x[:, :2]).prod(axis=-1) for x in (parts, boxes)]
  return both / np.maximum(areas[0][:, None] + areas[1] - both, 1e-6)
