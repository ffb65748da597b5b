"""Mask targets from polygons: an object's outline drawn onto the grid of a proposal.

This is Detectron2's `PolygonMasks`, which draws with pycocotools: vertices are rounded to fifths of a cell, edges are
lines of whole fifths, and a cell is inside where an odd number of edges pass above the middle of its column. All of it
is integer arithmetic on (edge, column) pairs, so nothing is followed along the outline.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

FINE = 5  # fine steps a cell, pycocotools' oversampling
PARTS = 8  # rings of an object drawn one by one and united; further rings are drawn together, by the even-odd rule
FAR = 8192  # fine steps; vertices further out are clamped to this, which keeps products within int32


def crop_polygons(
  vertices: Float[Array, 'R V 2'],
  parts: Int[Array, 'R V'],
  boxes: Float[Array, 'R 4'],
  size: int,
) -> Float[Array, 'R S S']:
  """Draws mask targets, zeros and ones, from polygons; without gradient.

  Args:
    vertices: (x, y) in pixels of an object's rings, one after the other; a ring ends with its first vertex again.
    parts: index of each vertex's ring; -1 for padding.
    boxes: xyxy in pixels, one per object.
    size: S, cells a side.
  """

  def one_object(arguments) -> Float[Array, 'S S']:
    vertices, parts, box = arguments
    sides = jnp.maximum(box[2:] - box[:2], 0.1)
    fine = jnp.trunc((vertices - box[:2]) * (size / sides) * FINE + 0.5)
    fine = jnp.clip(fine, -FAR, FAR).astype(jnp.int32)
    is_edge = (parts[:-1] == parts[1:]) & (parts[:-1] >= 0)
    crosses, row = _crossings(fine[:-1], fine[1:], size)
    # above[e, i, j]: edge e passes column j at or above cell i.
    above = (is_edge[:, None] & crosses)[:, None, :] & (row[:, None, :] <= jnp.arange(size)[:, None])
    part = jnp.minimum(parts[:-1], PARTS - 1)
    of_part = (part == jnp.arange(PARTS)[:, None]).astype(jnp.float32)
    count = jnp.einsum('pe,eij->pij', of_part, above.astype(jnp.float32), precision=jax.lax.Precision.HIGHEST)
    return (count.astype(jnp.int32) % 2 == 1).any(0).astype(jnp.float32)

  # A few objects at a time: the arrays of (edge, cell) pairs are large.
  targets = jax.lax.map(one_object, (vertices, parts, boxes), batch_size=min(32, len(boxes)))
  return jax.lax.stop_gradient(targets)


def _crossings(
  start: Int[Array, 'E 2'], end: Int[Array, 'E 2'], size: int
) -> tuple[Bool[Array, 'E S'], Int[Array, 'E S']]:
  """True where an edge crosses the middle of a column, and the first row of cells below it there.

  An edge steps along its longer axis, from the lower coordinate to the higher one; the other coordinate is rounded.
  It passes column j between the fine steps 5 j + 2 and 5 j + 3, at the smaller y of the two.
  """
  dx, dy = jnp.moveaxis(jnp.abs(end - start), -1, 0)
  wide = dx >= dy
  along = jnp.where(wide, 0, 1)[:, None]
  swap = jnp.take_along_axis(start, along, 1) > jnp.take_along_axis(end, along, 1)
  start, end = jnp.where(swap, end, start), jnp.where(swap, start, end)
  (xs, ys), (xe, ye) = jnp.moveaxis(start[..., None], 1, 0), jnp.moveaxis(end[..., None], 1, 0)
  dx, dy = dx[:, None], dy[:, None]
  column = FINE * jnp.arange(size) + FINE // 2

  crosses = (jnp.minimum(xs, xe) <= column) & (column < jnp.maximum(xs, xe))

  def rounded_y(x):
    return ys + (2 * (ye - ys) * (x - xs) + dx) // jnp.maximum(2 * dx, 1)

  of_wide = jnp.minimum(rounded_y(column), rounded_y(column + 1))
  # Along y: the last step before x, rounded, leaves the first of the two columns for the second.
  run = jnp.maximum(jnp.abs(xe - xs), 1)
  rising = -(-((2 * (column - xs) + 1) * dy) // (2 * run)) - 1
  falling = ((2 * (xs - column) - 1) * dy) // (2 * run)
  of_tall = ys + jnp.where(xe > xs, rising, falling)

  y = jnp.where(wide[:, None], of_wide, of_tall)
  row = -((FINE // 2 - y) // FINE)
  return crosses, jnp.clip(row, 0, size)
