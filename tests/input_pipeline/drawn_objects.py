"""Objects of polygons drawn by hand, and what a placement makes of them and of their image."""

import numpy as np

from input_pipeline import rasterize
from input_pipeline.transforms import place_image
from jaxdet.annotations.objects import Objects


def objects(*polygons, boxes=None, crowds=None, ignored=None, rle=None):
  """One object for each list of polygons; label k for object k."""
  flat = [np.asarray(polygon, np.float32).ravel() for parts in polygons for polygon in parts]
  if boxes is None:
    boxes = [np.concatenate([np.concatenate(parts).min(0), np.concatenate(parts).max(0)]) for parts in polygons]
  count = len(polygons)
  return Objects(
    labels=np.arange(count),
    boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
    areas=np.ones(count, np.float32),
    crowds=np.zeros(count, np.int64) if crowds is None else np.asarray(crowds),
    ignored=np.zeros(count, np.int64) if ignored is None else np.asarray(ignored),
    polygons_per_object=np.array([len(parts) for parts in polygons], np.int64),
    polygon_lengths=np.array([len(f) for f in flat], np.int64),
    polygon_points=np.concatenate([np.zeros(0, np.float32), *flat]),
    rle=[b''] * count if rle is None else rle,
  )


def rectangle(x1, y1, x2, y2):
  return [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]


def on_canvas(image, placement, canvas):
  pixels = np.zeros((*canvas, 3), np.uint8)
  place_image(image, placement, pixels)
  return pixels


def bits(placed):
  return rasterize.unpack(placed.mask_bits)
