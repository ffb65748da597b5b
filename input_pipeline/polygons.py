"""Polygons of an image's objects as flat arrays, for operations on all of them at once."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int8

from jaxdet.annotations.ragged import Ragged


@dataclasses.dataclass(frozen=True)
class Polygons:
  """P polygons with V points in total. An object may have several, whose union is its mask, or none."""

  points: Float[np.ndarray, 'V 2']  # float64 (x, y); exact for float32 files
  lengths: Int[np.ndarray, 'P']  # points of each polygon
  owners: Int[np.ndarray, 'P']  # object of each polygon, ascending

  @classmethod
  def from_flat(cls, coordinates: np.ndarray, lengths: np.ndarray, per_object: np.ndarray) -> 'Polygons':
    """Makes polygons from a record's arrays: x, y, x, y, ...; coordinates per polygon; polygons per object."""
    return cls(
      coordinates.reshape(-1, 2).astype(np.float64),
      np.asarray(lengths) // 2,
      np.repeat(np.arange(len(per_object)), per_object),
    )

  def counts(self, num_objects: int) -> Int[np.ndarray, 'N']:
    """Number of polygons of each object."""
    return np.bincount(self.owners, minlength=num_objects)

  def take(self, kept: Bool[np.ndarray, 'N']) -> 'Polygons':
    """Keeps the polygons of the `kept` objects, which are renumbered."""
    chosen = kept[self.owners]
    number = np.cumsum(kept) - 1
    return self._choose(chosen, number[self.owners[chosen]])

  def without(self, removed: Bool[np.ndarray, 'N']) -> 'Polygons':
    """Drops the polygons of the `removed` objects; objects keep their numbers."""
    chosen = ~removed[self.owners]
    return self._choose(chosen, self.owners[chosen])

  def followed_by(self, others: 'Polygons', num_objects: int) -> 'Polygons':
    """Concatenates these polygons of `num_objects` objects and those of other objects, numbered after them."""
    return Polygons(
      np.concatenate([self.points, others.points]),
      np.concatenate([self.lengths, others.lengths]),
      np.concatenate([self.owners, others.owners + num_objects]),
    )

  def move(self, scale: Float[np.ndarray, '2'], offset: Float[np.ndarray, '2']) -> 'Polygons':
    """Moves every point (x, y) to point * scale + offset."""
    return dataclasses.replace(self, points=self.points * scale + offset)

  def clip(self, height: int, width: int) -> 'Polygons':
    """Clips polygons to [0, width] x [0, height]; drops polygons without remaining area.

    Sutherland and Hodgman's algorithm, on all polygons at once. If a polygon is cut into several parts, they stay
    connected by edges along the border, which enclose no area.
    """
    clipped = self
    for axis, limit, sign in ((0, 0.0, 1.0), (1, 0.0, 1.0), (0, float(width), -1.0), (1, float(height), -1.0)):
      clipped = clipped._clip_side(axis, limit, sign)
    if clipped is self:
      return self
    low, high = clipped._extents()
    chosen = (clipped.lengths >= 3) & (high > low).all(axis=1)
    return clipped._choose(chosen, clipped.owners[chosen])

  def boxes(self, num_objects: int) -> Float[np.ndarray, 'N 4']:
    """Bounding boxes xyxy of each object's points; +inf, +inf, -inf, -inf for objects without polygons."""
    points_owner = np.repeat(self.owners, self.lengths)
    low = np.full((num_objects, 2), np.inf)
    high = np.full((num_objects, 2), -np.inf)
    np.minimum.at(low, points_owner, self.points)
    np.maximum.at(high, points_owner, self.points)
    return np.concatenate([low, high], axis=1)

  def outlines(
    self, num_objects: int, max_vertices: int
  ) -> tuple[Float32[np.ndarray, 'N V 2'], Int8[np.ndarray, 'N V']]:
    """Vertices of each object's rings, one after the other, each closed by its first point, and each vertex's ring.

    Objects with more than `max_vertices` (V) vertices, more than 127 rings or no polygons have no vertices: ring -1.
    """
    vertices = np.zeros((num_objects, max_vertices, 2), np.float32)
    parts = np.full((num_objects, max_vertices), -1, np.int8)
    rings = self._choose(self.lengths > 0, self.owners[self.lengths > 0])
    closed = rings.lengths + 1
    needed = np.bincount(rings.owners, closed, num_objects).astype(int)
    fits = (needed <= max_vertices) & (rings.counts(num_objects) <= 127)

    ring = np.repeat(np.arange(len(closed)), closed)  # of each vertex
    owner = rings.owners[ring]
    in_ring = np.arange(len(ring)) - _starts(closed)[ring]
    point = _starts(rings.lengths)[ring] + in_ring % rings.lengths[ring]
    in_object = np.arange(len(ring)) - _starts(needed)[owner]
    chosen = fits[owner]
    vertices[owner[chosen], in_object[chosen]] = rings.points[point[chosen]]
    parts[owner[chosen], in_object[chosen]] = (ring - _starts(rings.counts(num_objects))[owner])[chosen]
    return vertices, parts

  def _extents(self) -> tuple[np.ndarray, np.ndarray]:
    alone = dataclasses.replace(self, owners=np.arange(len(self.lengths)))
    boxes = alone.boxes(len(self.lengths))
    return boxes[:, :2], boxes[:, 2:]

  def _choose(self, chosen: Bool[np.ndarray, 'P'], owners: np.ndarray) -> 'Polygons':
    return Polygons(self.points[np.repeat(chosen, self.lengths)], self.lengths[chosen], owners)

  def _clip_side(self, axis: int, limit: float, sign: float) -> 'Polygons':
    """Clips polygons to the half plane sign * coordinate >= sign * limit."""
    here = self.points
    inside = sign * (here[:, axis] - limit) >= 0
    if inside.all():
      return self
    following = _next_point(self.lengths)
    there, there_inside = here[following], inside[following]
    with np.errstate(divide='ignore', invalid='ignore'):
      t = (limit - here[:, axis]) / (there[:, axis] - here[:, axis])
      crossing = here + t[:, None] * (there - here)
    crossing[:, axis] = limit
    # Each edge yields its start if that is inside, then the point where it crosses the side, if it does.
    given = np.stack([inside, inside != there_inside], axis=1)
    points = np.stack([here, crossing], axis=1)[given]
    lengths = Ragged.from_lengths(given, self.lengths)
    total = np.concatenate([[0], np.cumsum(given.sum(axis=1))])
    return Polygons(points, np.diff(total[lengths.offsets]), self.owners)


def _starts(lengths: Int[np.ndarray, 'P']) -> Int[np.ndarray, 'P']:
  return np.cumsum(lengths) - lengths


def _next_point(lengths: Int[np.ndarray, 'P']) -> Int[np.ndarray, 'V']:
  """Index of the next point of each point in its polygon; the first point follows the last."""
  following = np.arange(1, lengths.sum() + 1)
  ends = np.cumsum(lengths)
  filled = lengths > 0
  following[ends[filled] - 1] = (ends - lengths)[filled]
  return following
