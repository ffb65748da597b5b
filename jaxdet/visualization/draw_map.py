"""Draws a map of pixels, such as classes or segments, over a picture."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int, UInt8

from jaxdet.visualization.draw import Picture

OPACITY = 0.55


def draw_map(
  image: Picture, values: Int[np.ndarray, 'H W'], colours: Mapping[int, tuple[int, int, int]]
) -> UInt8[np.ndarray, 'H W 3']:
  """Blends the colour of every value into its pixels, with white lines between values.

  Args:
    image: of the map's size.
    values: of every pixel; pixels whose value has no colour keep the image's.
    colours: RGB by value.
  """
  found, places = np.unique(values, return_inverse=True)
  places = places.reshape(values.shape)
  shades = np.array([colours.get(int(value), (0, 0, 0)) for value in found], float)
  opacity = np.array([OPACITY if int(value) in colours else 0.0 for value in found])[places][..., None]
  drawn = np.round(image * (1 - opacity) + shades[places] * opacity).astype(np.uint8)
  drawn[:-1][places[:-1] != places[1:]] = 255
  drawn[:, :-1][places[:, :-1] != places[:, 1:]] = 255
  return drawn
