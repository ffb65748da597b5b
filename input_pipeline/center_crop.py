"""CornerNet's random training windows (Law & Deng, 2018): a square around a random point, padded with a plain colour.

mmdetection's RandomCenterCropPad. The side is one of a few multiples of the canvas's. The point is drawn from the image
without a border, which is halved for an image too small for it. The first of 50 points is taken whose window contains
the centre of an object; if there is none, another side is drawn. Objects with their centre outside are dropped. A
window of odd side shows the image up to its last column and row, where upstream pads.

`recipe` is `config.data.resize.center_crop`.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from input_pipeline.random_crop import Crop
from input_pipeline.resize import Size
from input_pipeline.ssd_augmentation import has_middle

TRIES = 50  # points per side, before another side is drawn


def check(resize: ConfigDict, canvases: Sequence[Size]) -> None:
  """Raises a ValueError where config.data.resize asks for impossible windows."""
  settings = resize.center_crop
  if resize.name != 'center_crop':
    return
  if resize.crop.probability or len(canvases) > 1:
    raise ValueError(
      "data.resize.name 'center_crop' goes with one canvas and without data.resize.crop; here it is on "
      f'{len(canvases)}, cropped with probability {resize.crop.probability}'
    )
  [canvas] = canvases
  half = int(min(canvas) * max(settings.scales)) // 2
  if half <= settings.border:  # `draw` would look for ever for an object in the image's corner
    raise ValueError(
      f'data.resize.center_crop.border {settings.border} and scales {settings.scales}: on a canvas of {canvas[0]} x '
      f'{canvas[1]} pixels half the side of the largest window is {half}: give a border below that, or larger scales'
    )


def draw(
  file_size: Size, canvas: Size, boxes: Float[np.ndarray, 'N 4'], recipe: ConfigDict, stream: np.random.Generator
) -> Crop:
  """Draws a random window.

  Args:
    file_size: (height, width) of the file.
    canvas: (height, width) that the window is stretched to.
    boxes: all objects of the file, in its pixels.
  """
  whole = np.array(file_size)
  wanted = boxes[has_middle(boxes, np.array([[0, 0, *whole[::-1]]]))[0]]  # no window contains another object's centre
  borders = np.array([border_within(recipe.border, side) for side in file_size])
  while True:
    size = (np.array(canvas) * stream.choice(recipe.scales)).astype(np.int64)
    offsets = stream.integers(borders, whole - borders, (TRIES, 2)) - size // 2
    if len(wanted):
      parts = np.concatenate([offsets[:, ::-1], (offsets + size)[:, ::-1]], axis=1)
      offsets = offsets[has_middle(wanted, parts).any(axis=1)]
    if len(offsets):
      return Crop(
        file_size, tuple(offsets[0].tolist()), tuple(size.tolist()), ground=tuple(recipe.ground), by_middle=True
      )


def border_within(border: int, side: int) -> int:
  """Halves the border until the side is longer than two of it."""
  while 2 * border >= side:
    border //= 2
  return border
