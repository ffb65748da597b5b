"""Photometric distortion (Howard, 2013; Liu et al., 2016): brightness, contrast, saturation, hue, channel order.

As mmdetection's PhotoMetricDistortion: each of the five is applied with probability one half. Contrast comes before or
after saturation and hue. Colours are computed in float32 as upstream, but are rounded and clipped to 0 to 255 at the
end; upstream does neither.
"""

import numpy as np
from jaxtyping import Float32, UInt8
from ml_collections import ConfigDict

CONTRAST_FIRST = 1


def distort(image: UInt8[np.ndarray, 'H W 3'], settings: ConfigDict, stream: np.random.Generator) -> None:
  """Distorts the colours of an RGB image in place.

  Args:
    image: is written to.
    settings: `config.data.photometric`.
  """
  order = stream.integers(2)
  brightness, contrast, saturation, hue, swap = stream.integers(2, size=5).astype(bool)
  delta = stream.uniform(-settings.brightness, settings.brightness)
  factor = stream.uniform(*settings.contrast)
  saturation_factor = stream.uniform(*settings.saturation)
  turn = stream.uniform(-settings.hue, settings.hue)
  channels = stream.permutation(3)

  colours = image.astype(np.float32)
  if brightness:
    colours += np.float32(delta)
  if contrast and order == CONTRAST_FIRST:
    colours *= np.float32(factor)
  if saturation or hue:
    colours = turned(colours, turn if hue else 0.0, saturation_factor if saturation else 1.0)
  if contrast and order != CONTRAST_FIRST:
    colours *= np.float32(factor)
  if swap:
    colours = colours[..., channels]
  image[:] = np.rint(colours).clip(0, 255)


def turned(colours: Float32[np.ndarray, 'H W 3'], degrees: float, saturation: float) -> Float32[np.ndarray, 'H W 3']:
  """Rotates the hue of RGB colours, and multiplies their saturation (clipped at 1), in HSV.

  The value (the largest channel) does not change.
  """
  red, green, blue = np.moveaxis(colours, -1, 0)
  value = colours.max(axis=-1)
  chroma = value - colours.min(axis=-1)
  safe = np.where(chroma > 0, chroma, 1)
  # In sixths of a turn, from red.
  hue = np.where(
    value == red,
    (green - blue) / safe,
    np.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
  )
  hue = hue + np.float32(degrees / 60)
  if saturation > 1:
    chroma = np.minimum(chroma * np.float32(saturation), np.maximum(value, chroma))
  else:
    chroma = chroma * np.float32(saturation)
  # A channel is value - chroma, except for two sixths of a turn around its own hue, with linear ramps beside them.
  sixth = (np.array([5, 3, 1], np.float32) + hue[..., None]) % 6
  return value[..., None] - chroma[..., None] * np.minimum(sixth, 4 - sixth).clip(0, 1)
