"""Simple copy-paste (Ghiasi et al. 2021): objects of a second training image are put on top of an image.

Both images are resized, cropped and flipped for themselves first. The second one is drawn among the images of the
same canvas that have objects; where it is larger than the first, a random part of it is taken. A random number of its
objects, 0 to all, is pasted at the places they have in it. With 'rare', images and objects are drawn in proportion to
their repeat factors (`image_factors`) instead of uniformly.

The pixels are those of the objects' polygons at full resolution, with hard edges: the paper smooths them by a
Gaussian and finds no difference. What happens to the objects underneath is what mmdetection's CopyPaste does: their
masks lose what is covered, their boxes are drawn anew, and those of which little is left are dropped. Unlike there,
nothing is pasted beside the first image, boxes that nothing covers stay as they were annotated, and objects are
pasted only as long as there is room for them.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from ml_collections import ConfigDict

from input_pipeline import rasterize, transforms
from input_pipeline.class_counts import count_classes
from input_pipeline.decoding import decode_example
from input_pipeline.examples import parse
from input_pipeline.image_factors import category_factors, image_factors
from input_pipeline.records import Records
from input_pipeline.sampling import PASTES, random_stream
from input_pipeline.transforms import MIN_BOX_SIDE, PlacedObjects

NAMES = ('simple', 'rare')

# A covered object stays if none of its box's sides moves by more pixels, or if more pixels of its mask are left.
BOX_MOVED, MASK_LEFT = 10, 300


def check(data: ConfigDict) -> None:
  """Raises a ValueError where config.data asks for what there is not."""
  settings = data.copy_paste
  if settings.name not in NAMES:
    raise ValueError(
      f"unknown data.copy_paste.name '{settings.name}': choose one of {', '.join(NAMES)}, or '' for none"
    )
  if not 0 <= settings.probability <= 1:
    raise ValueError(f'data.copy_paste.probability {settings.probability} does not lie between 0 and 1')
  if not data.mask_size:
    raise ValueError("data.copy_paste needs masks, and data.mask_size is 0: set that, or data.copy_paste.name to ''")


class CopyPaste:
  """Pastes onto one image after the other, from several threads."""

  def __init__(
    self,
    records: Records,
    data: ConfigDict,
    seed: int,
    second_canvas: Int[np.ndarray, 'images'] | Float[np.ndarray, 'images'],
  ):
    """Reads data.copy_paste, with 'rare' the threshold of data.sampler, and how images are placed.

    `second_canvas` is the probability that an image is shown on the second canvas, as in `sampling.BatchSampler`.
    """
    self._records, self._data, self._seed = records, data, seed
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
    """Pastes into an image, and gives its objects afterwards.

    Args:
      image: without the canvas's padding; is written to.
      objects: of the image.
      canvas: the position of its canvas in data.canvases.
      number: of the image's place in training, for the random numbers.
    """
    data = self._data
    stream = random_stream(self._seed, PASTES, number)
    if stream.random() >= data.copy_paste.probability or not len(self._images[canvas]):
      return objects
    index = draw(self._images[canvas], self._ends[canvas], stream)
    example = parse(self._records.read([index])[0])
    size = (example.height, example.width)
    tall = bool(canvas) if len(data.canvases) == 2 else None
    placement = transforms.training_placement(
      size, data.canvases[canvas], data.resize, data.flip, stream, tall, example.objects.boxes
    )
    placement = transforms.cut(placement, image.shape[:2], stream)
    found = transforms.leave_out(example.objects, data.ignore)
    found = transforms.place_objects(found, placement, data.max_objects, data.mask_size)
    found = found.take(np.flatnonzero(found.mask_bits.any(axis=(1, 2))))

    chosen = choose(self._weights[found.labels], stream)
    room = data.max_objects - len(objects.labels)
    objects = dataclasses.replace(objects, beyond_max=objects.beyond_max + max(len(chosen) - room, 0))
    pasted = found.take(np.sort(chosen[:room]))
    pixels = pixels_of(pasted, *placement.size)
    if not pixels.any():
      return objects
    (y1, y2), (x1, x2) = _first_and_end(pixels.any(axis=1)), _first_and_end(pixels.any(axis=0))
    second = np.zeros((y2 - y1, x2 - x1, 3), np.uint8)
    transforms.place_image(decode_example(example), transforms.part(placement, (y1, x1), second.shape[:2]), second)
    np.copyto(image[y1:y2, x1:x2], second, where=pixels[y1:y2, x1:x2, None])
    return put_on_top(objects, pasted, pixels)


def draw(images: Int[np.ndarray, 'n'], ends: Float[np.ndarray, 'n'], stream: np.random.Generator) -> int:
  """One of the images; `ends` are the sums of their weights up to each."""
  place = np.searchsorted(ends, stream.random() * ends[-1], side='right')
  return int(images[min(place, len(images) - 1)])


def choose(weights: Float[np.ndarray, 'n'], stream: np.random.Generator) -> Int[np.ndarray, 'm']:
  """Positions of a random number of objects, 0 to all, in random order.

  They are drawn one after the other without replacement, each in proportion to its weight among those that are left
  (Efraimidis and Spirakis 2006).
  """
  count = stream.integers(len(weights) + 1)
  return np.argsort(stream.exponential(size=len(weights)) / weights)[:count]


def pixels_of(objects: PlacedObjects, height: int, width: int) -> Bool[np.ndarray, 'h w']:
  """The pixels of all the objects: of their polygons, or where an object has none of its bits."""
  pixels = rasterize.pixels_of_polygons(objects.polygons, height, width)
  others = np.flatnonzero(objects.polygons.counts(len(objects.labels)) == 0)
  if len(others):
    bits = rasterize.unpack(objects.mask_bits[others]).astype(np.bool_)
    pixels |= rasterize.pixels_of_bits(bits, objects.mask_windows[others], height, width)
  return pixels


def put_on_top(objects: PlacedObjects, pasted: PlacedObjects, pixels: Bool[np.ndarray, 'h w']) -> PlacedObjects:
  """What is seen of the objects under `pixels`, then those that are pasted there."""
  under = uncovered(objects, pixels)
  return PlacedObjects(
    boxes=np.concatenate([under.boxes, pasted.boxes]),
    labels=np.concatenate([under.labels, pasted.labels]),
    mask_bits=np.concatenate([under.mask_bits, pasted.mask_bits]),
    mask_windows=np.concatenate([under.mask_windows, pasted.mask_windows]),
    polygons=under.polygons.followed_by(pasted.polygons, len(under.labels)),
    without_mask=objects.without_mask,
    beyond_max=objects.beyond_max,
  )


def uncovered(objects: PlacedObjects, pixels: Bool[np.ndarray, 'h w']) -> PlacedObjects:
  """What is left of the objects where `pixels` cover them.

  An object that loses cells of its mask is known by its bits alone. Those sides of its box that it lost move to the
  cells that are left. Without a cell it is dropped, and by the limits above.
  """
  size = objects.mask_bits.shape[1]
  bits = rasterize.unpack(objects.mask_bits).astype(np.bool_)
  left = bits & ~rasterize.sample_pixels(pixels, objects.mask_windows, size)
  is_cut = (left != bits).any(axis=(1, 2))

  windows = objects.mask_windows.astype(np.float64)
  cell = (windows[:, 2:] - windows[:, :2]) / size
  before, after = _extents(bits), _extents(left)
  edges = np.tile(windows[:, :2], 2) + after * np.tile(cell, 2)
  boxes = np.where(after == before, objects.boxes, edges.astype(np.float32))
  box_stays = (np.abs(boxes - objects.boxes) <= BOX_MOVED).all(axis=1)
  mask_stays = left.sum(axis=(1, 2)) * cell.prod(axis=1) > MASK_LEFT
  is_seen = left.any(axis=(1, 2)) & (boxes[:, 2:] - boxes[:, :2] > MIN_BOX_SIDE).all(axis=1)

  shown = dataclasses.replace(
    objects,
    boxes=np.where(is_cut[:, None], boxes, objects.boxes),
    mask_bits=rasterize.pack(left),
    polygons=objects.polygons.without(is_cut),
  )
  return shown.take(np.flatnonzero(~is_cut | is_seen & (box_stays | mask_stays)))


def _extents(bits: Bool[np.ndarray, 'N M M']) -> Int[np.ndarray, 'N 4']:
  """(x1, y1, x2, y2) in cells around the bits that are set."""
  (x1, x2), (y1, y2) = _first_and_end(bits.any(axis=1)), _first_and_end(bits.any(axis=2))
  return np.stack([x1, y1, x2, y2], axis=-1)


def _first_and_end(is_set: Bool[np.ndarray, '*N M']) -> tuple[Int[np.ndarray, '*N'], Int[np.ndarray, '*N']]:
  """The first that is set of each row, and the one behind the last; 0 and M without any."""
  return is_set.argmax(axis=-1), is_set.shape[-1] - is_set[..., ::-1].argmax(axis=-1)
