"""DETR's random crop in training (Carion et al., 2020).

The file is resized to one of a few sizes, a rectangle of random size is cropped at a random place, and the crop is
resized like a whole file: Detectron2's and mmdetection's RandomCrop of type 'absolute_range' between two resizes. As
upstream, pixels are resampled twice. Resampling once would give the same geometry, but differ by up to three grey
levels in the mean of a photograph, since the small size in between is less sharp.

A crop of a wide image may be tall, so the canvas of an image is random. The sampler draws it by `tall_probability`;
then `draw` draws among the crops of that orientation.

`recipe` is `config.data.resize`.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline.resize import Size, resize, shortest_edge_size


@dataclasses.dataclass(frozen=True)
class Crop:
  """A crop of the resized file, which replaces the file."""

  resized_size: Size
  offset: Size  # (y, x) in the resized file
  size: Size
  ground: tuple[int, int, int] | None = None  # colour outside the file; None: the crop lies inside the file
  by_middle: bool = False  # drop objects whose centre lies outside


def take(image: Image.Image, crop: Crop) -> Image.Image:
  """Returns the pixels of the crop."""
  if crop.ground is None:
    return resize(image, crop.resized_size, crop.offset, crop.size)
  ground = Image.new('RGB', crop.size[::-1], crop.ground)
  ground.paste(image, (-crop.offset[1], -crop.offset[0]))
  return ground


def check(recipe: ConfigDict) -> None:
  """Raises a ValueError if config.data.resize has crops that do not go with its name."""
  if recipe.crop.probability and recipe.name != 'shortest_edge':
    raise ValueError(
      f"data.resize.crop belongs to data.resize.name 'shortest_edge', not to '{recipe.name}': set its probability to 0"
    )


def is_tall(size: Size) -> bool:
  """True if an image of this size belongs to the second of two canvases."""
  return size[1] <= size[0]


def draw(file_size: Size, recipe: ConfigDict, tall: bool | None, stream: np.random.Generator) -> Crop | None:
  """Draws a random crop of the file; None for the whole.

  Args:
    tall: orientation of the result, which must be possible; None: either.
  """
  while True:
    crop = _draw(file_size, recipe, stream)
    if tall is None or is_tall(crop.size if crop else file_size) == tall:
      return crop


def tall_probability(sizes: Int[np.ndarray, 'images 2'], recipe: ConfigDict) -> Float[np.ndarray, 'images']:
  """Probability that the drawn crop, or whole image, of an image of (height, width) pixels is tall."""
  distinct, image = np.unique(sizes, axis=0, return_inverse=True)
  settings = recipe.crop
  of_part = [
    np.mean([_tall_share(shortest_edge_size(size, shortest, settings.max_size), recipe) for shortest in settings.sizes])
    for size in map(tuple, distinct.tolist())
  ]
  of_whole = np.array([is_tall(size) for size in distinct], np.float64)
  return (of_whole + settings.probability * (np.array(of_part) - of_whole))[image.reshape(-1)]


def _draw(file_size: Size, recipe: ConfigDict, stream: np.random.Generator) -> Crop | None:
  settings = recipe.crop
  if stream.random() >= settings.probability:
    return None
  resized = shortest_edge_size(file_size, int(stream.choice(settings.sizes)), settings.max_size)
  size = tuple(int(stream.integers(*ends, endpoint=True)) for ends in _ends(resized, recipe))
  offset = tuple(int(stream.integers(whole - part, endpoint=True)) for whole, part in zip(resized, size, strict=True))
  return Crop(resized, offset, size)


def _tall_share(resized: Size, recipe: ConfigDict) -> float:
  """Share of tall sizes among the sizes of a crop, which are equally likely."""
  heights, widths = _ends(resized, recipe)
  num_widths = widths[1] - widths[0] + 1
  # Number of widths that are not larger than each height.
  tall = np.clip(np.arange(heights[0], heights[1] + 1) - widths[0] + 1, 0, num_widths)
  return float(tall.mean() / num_widths)


def _ends(resized: Size, recipe: ConfigDict) -> list[tuple[int, int]]:
  """(least, largest) height and width of a crop, limited by the resized file."""
  least, largest = recipe.crop.range
  return [(min(side, least), min(side, largest)) for side in resized]
