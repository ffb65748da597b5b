"""Objects of polygons drawn by hand, and what a placement makes of them and of their image."""

import numpy as np

from input_pipeline import rasterize
from input_pipeline.fields.boxes import Boxes
from input_pipeline.fields.masks import Masks
from input_pipeline.fields.scene import Scene
from input_pipeline.fields.table import Fields
from input_pipeline.transforms import place_image
from jaxdet.annotations.objects import ImageAnnotations, Objects


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


def place_objects(objects, placement, max_objects, mask_size, ignore=None):
  """What training uses of the objects: their boxes, and masks where `mask_size` is not 0."""
  masks = [Masks(mask_size, max_vertices=0)] if mask_size else []
  fields = Fields((Boxes(**(ignore or {})), *masks), (), max_objects)
  return fields.place(scene(objects, placement))


def scene(objects, placement):
  none = np.zeros(0, np.int64)
  return Scene(objects, ImageAnnotations(neg_labels=none, not_exhaustive_labels=none), placement)


def rectangle(x1, y1, x2, y2):
  return [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]


def on_canvas(image, placement, canvas):
  pixels = np.zeros((*canvas, 3), np.uint8)
  place_image(image, placement, pixels)
  return pixels


def bits(placed):
  return rasterize.unpack(placed['masks'].bits)
