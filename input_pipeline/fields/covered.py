"""Updates objects that others cover: removes covered cells from masks, shrinks boxes, drops mostly covered objects.

As in mmdetection's CopyPaste. Objects must have boxes and masks.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int

from input_pipeline import rasterize
from input_pipeline.fields.boxes import MIN_BOX_SIDE, PlacedBoxes
from input_pipeline.fields.masks import PlacedMasks
from input_pipeline.fields.placed import PlacedObjects

# A covered object is kept if no side of its box moves by more than BOX_MOVED pixels, or if more than MASK_LEFT pixels
# of its mask are left.
BOX_MOVED, MASK_LEFT = 10, 300


def with_pixels(objects: PlacedObjects) -> PlacedObjects:
  """Keeps the objects with a non-empty mask."""
  return objects.take(np.flatnonzero(objects['masks'].bits.any(axis=(1, 2))))


def pixels_of(objects: PlacedObjects, height: int, width: int) -> Bool[np.ndarray, 'h w']:
  """Union of the objects' masks in pixels: from polygons, or from bits for objects without polygons."""
  masks: PlacedMasks = objects['masks']
  pixels = rasterize.pixels_of_polygons(masks.polygons, height, width)
  others = np.flatnonzero(masks.polygons.counts(len(objects)) == 0)
  if len(others):
    bits = rasterize.unpack(masks.bits[others]).astype(np.bool_)
    pixels |= rasterize.pixels_of_bits(bits, masks.windows[others], height, width)
  return pixels


def uncovered(objects: PlacedObjects, pixels: Bool[np.ndarray, 'h w']) -> PlacedObjects:
  """Removes covered `pixels` from objects.

  An object that loses cells of its mask also loses its polygons; its bits remain. Covered sides of its box move to the
  remaining cells. It is dropped if no cell is left, or by the limits above.
  """
  of_boxes: PlacedBoxes = objects['boxes']
  masks: PlacedMasks = objects['masks']
  size = masks.bits.shape[1]
  bits = rasterize.unpack(masks.bits).astype(np.bool_)
  left = bits & ~rasterize.sample_pixels(pixels, masks.windows, size)
  is_cut = (left != bits).any(axis=(1, 2))

  windows = masks.windows.astype(np.float64)
  cell = (windows[:, 2:] - windows[:, :2]) / size
  before, after = _extents(bits), _extents(left)
  edges = np.tile(windows[:, :2], 2) + after * np.tile(cell, 2)
  boxes = np.where(after == before, of_boxes.boxes, edges.astype(np.float32))
  box_stays = (np.abs(boxes - of_boxes.boxes) <= BOX_MOVED).all(axis=1)
  mask_stays = left.sum(axis=(1, 2)) * cell.prod(axis=1) > MASK_LEFT
  is_seen = left.any(axis=(1, 2)) & (boxes[:, 2:] - boxes[:, :2] > MIN_BOX_SIDE).all(axis=1)

  shown = {
    'boxes': dataclasses.replace(of_boxes, boxes=np.where(is_cut[:, None], boxes, of_boxes.boxes)),
    'masks': dataclasses.replace(masks, bits=rasterize.pack(left), polygons=masks.polygons.without(is_cut)),
  }
  objects = dataclasses.replace(objects, kinds={**objects.kinds, **shown})
  return objects.take(np.flatnonzero(~is_cut | is_seen & (box_stays | mask_stays)))


def _extents(bits: Bool[np.ndarray, 'N M M']) -> Int[np.ndarray, 'N 4']:
  """Bounding boxes (x1, y1, x2, y2) of the set bits, in cells."""
  (x1, x2), (y1, y2) = _first_and_end(bits.any(axis=1)), _first_and_end(bits.any(axis=2))
  return np.stack([x1, y1, x2, y2], axis=-1)


def _first_and_end(is_set: Bool[np.ndarray, '*N M']) -> tuple[Int[np.ndarray, '*N'], Int[np.ndarray, '*N']]:
  """Index of the first set element of each row, and index of the last one + 1; 0 and M if none is set."""
  return is_set.argmax(axis=-1), is_set.shape[-1] - is_set[..., ::-1].argmax(axis=-1)
