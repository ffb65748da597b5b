"""What is seen of objects where pixels of others cover them: masks lose cells, boxes follow, little ones go.

What becomes of covered objects is what mmdetection's CopyPaste does. Objects have boxes and masks here.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int

from input_pipeline import rasterize
from input_pipeline.fields.boxes import MIN_BOX_SIDE, PlacedBoxes
from input_pipeline.fields.masks import PlacedMasks
from input_pipeline.fields.placed import PlacedObjects

# A covered object stays if none of its box's sides moves by more pixels, or if more pixels of its mask are left.
BOX_MOVED, MASK_LEFT = 10, 300


def with_pixels(objects: PlacedObjects) -> PlacedObjects:
  """Those objects of whose masks a cell is set."""
  return objects.take(np.flatnonzero(objects['masks'].bits.any(axis=(1, 2))))


def pixels_of(objects: PlacedObjects, height: int, width: int) -> Bool[np.ndarray, 'h w']:
  """The pixels of all the objects: of their polygons, or where an object has none of its bits."""
  masks: PlacedMasks = objects['masks']
  pixels = rasterize.pixels_of_polygons(masks.polygons, height, width)
  others = np.flatnonzero(masks.polygons.counts(len(objects)) == 0)
  if len(others):
    bits = rasterize.unpack(masks.bits[others]).astype(np.bool_)
    pixels |= rasterize.pixels_of_bits(bits, masks.windows[others], height, width)
  return pixels


def uncovered(objects: PlacedObjects, pixels: Bool[np.ndarray, 'h w']) -> PlacedObjects:
  """What is left of the objects where `pixels` cover them.

  An object that loses cells of its mask is known by its bits alone. Those sides of its box that it lost move to the
  cells that are left. Without a cell it is dropped, and by the limits above.
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
  """(x1, y1, x2, y2) in cells around the bits that are set."""
  (x1, x2), (y1, y2) = _first_and_end(bits.any(axis=1)), _first_and_end(bits.any(axis=2))
  return np.stack([x1, y1, x2, y2], axis=-1)


def _first_and_end(is_set: Bool[np.ndarray, '*N M']) -> tuple[Int[np.ndarray, '*N'], Int[np.ndarray, '*N']]:
  """The first that is set of each row, and the one behind the last; 0 and M without any."""
  return is_set.argmax(axis=-1), is_set.shape[-1] - is_set[..., ::-1].argmax(axis=-1)
