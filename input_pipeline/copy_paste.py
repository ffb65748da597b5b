"""Simple copy-paste (Ghiasi et al. 2021): pastes objects of a second training image onto an image.

Both images are first resized, cropped and flipped independently. The second one is drawn from the images of the same
canvas that have objects; where it is larger than the first, a random part of it is taken. A random number of its
objects, 0 to all, is pasted at their own position. With 'rare', images and objects are drawn in proportion to their
repeat factors (`image_factors`) instead of uniformly.

The pasted pixels are the objects' polygons at full resolution, with hard edges: the paper smooths them by a Gaussian
and finds no difference. Objects underneath are handled as in mmdetection's CopyPaste (fields/covered.py): covered
pixels leave their masks, their boxes are recomputed, and mostly covered objects are dropped. Differences: nothing is
pasted beside the first image, boxes of uncovered objects stay as annotated, and an image gets at most `max_objects`.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from ml_collections import ConfigDict

from input_pipeline import transforms
from input_pipeline.class_counts import count_classes
from input_pipeline.examples import decode_example, parse
from input_pipeline.fields import covered
from input_pipeline.fields.placed import PlacedObjects
from input_pipeline.fields.scene import Scene
from input_pipeline.fields.table import Fields
from input_pipeline.image_factors import category_factors, image_factors
from input_pipeline.records import Records
from input_pipeline.sampling import PASTES, random_stream

NAMES = ('simple', 'rare')


def check(data: ConfigDict) -> None:
  """Raises a ValueError for settings of config.data that copy-paste does not support."""
  settings = data.copy_paste
  if settings.name not in NAMES:
    raise ValueError(
      f"unknown data.copy_paste.name '{settings.name}': choose one of {', '.join(NAMES)}, or '' for none"
    )
  if not data.mask_size:
    raise ValueError("data.copy_paste needs masks, and data.mask_size is 0: set that, or data.copy_paste.name to ''")


class CopyPaste:
  """Pastes onto one image per call; thread-safe."""

  def __init__(
    self,
    records: Records,
    fields: Fields,
    data: ConfigDict,
    seed: int,
    second_canvas: Int[np.ndarray, 'images'] | Float[np.ndarray, 'images'],
  ):
    """
    Args:
      records: images and objects to paste.
      fields: place the objects.
      data: config.data: `copy_paste`, for 'rare' also `sampler.threshold`, and the settings of placements.
      seed: of the run.
      second_canvas: probability that an image is placed on the second canvas, as in `sampling.BatchSampler`.
    """
    self._records, self._fields, self._data, self._seed = records, fields, data, seed
    labels, num_categories = records.labels, len(records.categories)
    sampler = 'repeat_factor' if data.copy_paste.name == 'rare' else 'uniform'
    self._weights = category_factors(count_classes(labels, num_categories), sampler, data.sampler.threshold)
    weights = image_factors(labels, num_categories, sampler, data.sampler.threshold).astype(np.float64)
    weights[labels.lengths == 0] = 0
    by_canvas = (weights * (1 - second_canvas), weights * second_canvas)
    self._images = [np.flatnonzero(shares) for shares in by_canvas]
    self._ends = [np.cumsum(shares[images]) for shares, images in zip(by_canvas, self._images, strict=True)]

  def __call__(
    self, image: UInt8[np.ndarray, 'h w 3'], objects: PlacedObjects, canvas: int, number: int
  ) -> PlacedObjects:
    """Pastes into an image and returns its objects afterwards.

    Args:
      image: without the canvas's padding; modified in place.
      objects: the image's objects.
      canvas: index of its canvas in data.canvases.
      number: position of the image in training, which selects its random numbers.
    """
    data = self._data
    stream = random_stream(self._seed, PASTES, number)
    if stream.random() >= data.copy_paste.probability or not len(self._images[canvas]):
      return objects
    index = draw(self._images[canvas], self._ends[canvas], stream)
    example = parse(self._records.read([index])[0])
    placement = transforms.placement_on(canvas, example.size, data, stream, example.objects.boxes)
    placement = transforms.cut(placement, image.shape[:2], stream)
    found = covered.with_pixels(self._fields.place(Scene(example.objects, example.image, placement)))

    chosen = choose(self._weights[found.labels], stream)
    room = data.max_objects - len(objects)
    objects = objects.leaving_out(max(len(chosen) - room, 0))
    pasted = found.take(np.sort(chosen[:room]))
    pixels = covered.pixels_of(pasted, *placement.size)
    if not pixels.any():
      return objects
    (y1, y2), (x1, x2) = _first_and_end(pixels.any(axis=1)), _first_and_end(pixels.any(axis=0))
    second = np.zeros((y2 - y1, x2 - x1, 3), np.uint8)
    transforms.place_image(decode_example(example), transforms.part(placement, (y1, x1), second.shape[:2]), second)
    np.copyto(image[y1:y2, x1:x2], second, where=pixels[y1:y2, x1:x2, None])
    return put_on_top(objects, pasted, pixels)


def draw(images: Int[np.ndarray, 'n'], ends: Float[np.ndarray, 'n'], stream: np.random.Generator) -> int:
  """Draws one of the images; `ends` are the cumulative sums of their weights."""
  place = np.searchsorted(ends, stream.random() * ends[-1], side='right')
  return int(images[min(place, len(images) - 1)])


def choose(weights: Float[np.ndarray, 'n'], stream: np.random.Generator) -> Int[np.ndarray, 'm']:
  """Draws indices of a random number of objects, 0 to all, in random order.

  They are drawn one by one without replacement, in proportion to the weights (Efraimidis and Spirakis 2006).
  """
  count = stream.integers(len(weights) + 1)
  return np.argsort(stream.exponential(size=len(weights)) / weights)[:count]


def put_on_top(objects: PlacedObjects, pasted: PlacedObjects, pixels: Bool[np.ndarray, 'h w']) -> PlacedObjects:
  """Joins the visible parts of objects under `pixels` and the objects pasted there, in this order."""
  return covered.uncovered(objects, pixels).followed_by(pasted)


def _first_and_end(is_set: Bool[np.ndarray, 'M']) -> tuple[int, int]:
  """Index of the first set element, and index of the last one + 1."""
  places = np.flatnonzero(is_set)
  return int(places[0]), int(places[-1]) + 1
