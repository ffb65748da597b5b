"""Geometry of one image's annotations on the canvas, computed once for all kinds that use it."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Float, Float32

from input_pipeline.polygons import Polygons
from input_pipeline.transforms import Placement
from jaxdet.annotations.objects import ImageAnnotations, Objects


@dataclasses.dataclass(frozen=True)
class Scene:
  """N objects of a file, in the order of the annotation file, and their placement."""

  objects: Objects
  image: ImageAnnotations
  placement: Placement

  @property
  def has_polygons(self) -> Bool[np.ndarray, 'N']:
    return self.objects.polygons_per_object > 0

  @property
  def cuts(self) -> bool:
    """Whether the placement may cut objects."""
    return self.placement.tight_boxes or self.placement.crop is not None

  @functools.cached_property
  def polygons(self) -> Polygons:
    """Polygons in canvas pixels; clipped to the image if the placement cuts."""
    of = self.objects
    polygons = Polygons.from_flat(of.polygon_points, of.polygon_lengths, of.polygons_per_object)
    polygons = polygons.move(self.placement.scale, self.placement.offset)
    return polygons.clip(*self.placement.size) if self.cuts else polygons

  @functools.cached_property
  def outlined(self) -> Bool[np.ndarray, 'N']:
    """Mask of the objects with a visible polygon, or without polygons."""
    return ~self.has_polygons | (self.polygons.counts(len(self.objects.labels)) > 0)

  @functools.cached_property
  def boxes(self) -> Float[np.ndarray, 'N 4']:
    """float64 xyxy in canvas pixels, clipped to the image; tight around polygons if `placement.tight_boxes`."""
    boxes = place_boxes(self.objects.boxes, self.placement)
    if not self.placement.tight_boxes:
      return boxes
    return np.where(self.has_polygons[:, None], self.polygons.boxes(len(boxes)), boxes)


def place_boxes(boxes: Float32[np.ndarray, 'N 4'], placement: Placement) -> Float[np.ndarray, 'N 4']:
  """Maps xyxy boxes of the file to float64 canvas pixels, clipped to the image."""
  corners = boxes.astype(np.float64).reshape(-1, 2, 2) * placement.scale + placement.offset
  corners = np.sort(corners, axis=1)  # a flip swaps left and right
  height, width = placement.size
  return corners.clip(0, (width, height)).reshape(-1, 4)
