"""Draws a map of pixels, such as classes or segments, over a picture."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from jaxdet.visualization.draw import Picture, blend, drawn_size

OPACITY = 0.55


def draw_map(
  image: Picture, values: Int[np.ndarray, 'H W'], colours: Mapping[int, tuple[int, int, int]]
) -> UInt8[np.ndarray, 'H2 W2 3']:
  """Blends the colour of every value into its pixels, with white lines between values.

  Args:
    image: of the map's size; very large ones are drawn smaller (`drawn_size`).
    values: of every pixel; pixels whose value has no colour keep the image's.
    colours: RGB by value.
  """
  size = drawn_size(*values.shape)
  drawn = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)).copy()
  rows, columns = (np.arange(size[axis]) * values.shape[axis] // size[axis] for axis in (0, 1))
  values = values[np.ix_(rows, columns)]
  for value in np.unique(values):
    if int(value) in colours:
      here = values == value
      drawn[here] = blend(drawn[here], colours[int(value)], OPACITY)
  drawn[:-1][values[:-1] != values[1:]] = 255
  drawn[:, :-1][values[:, :-1] != values[:, 1:]] = 255
  return drawn
