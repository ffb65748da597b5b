"""Makes data for benchmarks: noise images with elliptic objects of plausible sizes, and long-tailed classes."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from ml_collections import ConfigDict

from jaxdet.structures import Batch, InstanceMasks, Objects, Proposals

SMALLEST, LARGEST = 0.03, 0.5  # sides of objects in image sides; their logarithms are uniform between these
VERTICES = 24  # of a polygon


def synthetic_batch(
  config: ConfigDict, images: int, canvas: tuple[int, int], objects: int, proposals: int = 0, seed: int = 0
) -> Batch:
  """Makes a batch of images that fill their canvas, in NumPy; a function of its arguments.

  Args:
    config: `model.num_classes`, of `data` the places for objects and the forms of their masks, and of a semantic task
      the number of its classes.
    images: B.
    canvas: (height, width) in pixels.
    objects: per image, at most `data.max_objects`.
    proposals: P, for detectors without a proposal generator; 0: none.
    seed: of the noise and the objects.
  """
  data = config.data
  rng = np.random.default_rng(seed)
  padding = ((0, 0), (0, data.max_objects - objects))
  boxes = np.pad(random_boxes(rng, images, objects, canvas), (*padding, (0, 0)))
  valid = np.pad(np.ones((images, objects), bool), padding)
  size = np.tile(np.array([canvas], np.int32), (images, 1))
  masks = given = None
  if data.mask_size:
    bits = np.packbits(_ellipse(data.mask_size), axis=-1)
    masks = InstanceMasks(bits=np.where(valid[..., None, None], bits, np.uint8(0)), windows=boxes)
    if data.max_vertices:
      outlines, parts = _outlines(boxes, valid, data.max_vertices)
      masks = masks.replace(outlines=outlines, outline_parts=parts)
  if proposals:
    every = (images, proposals)
    given = Proposals(random_boxes(rng, *every, canvas), np.zeros(every, np.float32), np.ones(every, bool))
  labels = np.pad(rng.integers(0, config.model.num_classes, (images, objects), np.int32), padding)
  return Batch(
    image=rng.integers(0, 256, (images, *canvas, 3), np.uint8),
    image_size=size,
    original_size=size,
    index=np.arange(images, dtype=np.int32),
    valid=np.ones(images, bool),
    objects=Objects(boxes, labels, valid, masks),
    proposals=given,
    semantic=_semantic_map(config, rng, (images, *canvas)),
  )


def random_boxes(
  rng: np.random.Generator, images: int, count: int, canvas: tuple[int, int]
) -> Float[np.ndarray, 'B N 4']:
  """Draws boxes inside the canvas, float32 in pixels."""
  size = np.array(canvas[::-1])
  sides = size * np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), (images, count, 2)))
  corner = (size - sides) * rng.uniform(0, 1, (images, count, 2))
  return np.concatenate([corner, corner + sides], -1).astype(np.float32)


def dense_masks(boxes: Float[np.ndarray, 'N 4'], canvas: tuple[int, int]) -> Bool[np.ndarray, 'N H W']:
  """Draws the ellipses in these boxes, pixel by pixel over the canvas."""
  height, width = canvas
  (x1, y1, x2, y2) = (side[:, None] for side in boxes.T)
  x = (2 * (np.arange(width) + 0.5) - x1 - x2) / (x2 - x1)
  y = (2 * (np.arange(height) + 0.5) - y1 - y2) / (y2 - y1)
  return (x * x)[:, None] + (y * y)[:, :, None] <= 1


def class_counts(num_classes: int) -> dict[str, Any]:
  """Class counts for class losses, as `Dataset.class_counts`: in LVIS's range, 20,000 to 1 image per class."""
  images = np.round(np.geomspace(20_000, 1, num_classes)).astype(int)
  return {
    'images': tuple(int(count) for count in images),
    'instances': tuple(int(2 * count) for count in images),
    'num_images': 100_000,
  }


def _semantic_map(
  config: ConfigDict, rng: np.random.Generator, shape: tuple[int, ...]
) -> Int[np.ndarray, 'B H W'] | None:
  """Makes a semantic map for detectors with a semantic head."""
  if 'semantic' not in config.model.get('pyramid_tasks', {}):
    return None
  return rng.integers(0, config.model.pyramid_tasks.semantic.num_classes, shape, np.int32)


def _ellipse(cells: int) -> Bool[np.ndarray, 'M M']:
  """Mask of a window's cells whose centre is in the inscribed ellipse."""
  return dense_masks(np.array([[0, 0, cells, cells]], np.float32), (cells, cells))[0]


def _outlines(
  boxes: Float[np.ndarray, 'B N 4'], valid: Bool[np.ndarray, 'B N'], places: int
) -> tuple[Float[np.ndarray, 'B N V 2'], Int[np.ndarray, 'B N V']]:
  """Polygons of ellipses, each with its first vertex repeated at the end."""
  vertices = min(VERTICES, places - 1)
  angles = np.append(np.arange(vertices), 0) * 2 * np.pi / vertices
  circle = np.stack([np.cos(angles), np.sin(angles)], -1)
  middle, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
  ring = middle[..., None, :] + half[..., None, :] * circle
  left = places - vertices - 1
  outlines = np.pad(ring, ((0, 0), (0, 0), (0, left), (0, 0))).astype(np.float32)
  parts = np.where(valid[..., None] & (np.arange(places) <= vertices), 0, -1).astype(np.int8)
  return outlines, parts
