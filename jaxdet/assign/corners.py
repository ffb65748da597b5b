"""Corner targets of CornerNet (Law & Deng, 2018): cells, offsets in them, and heat maps.

A heat map is 1 in the cells of its class's corners and falls off around them as a Gaussian, as far as boxes with a
corner there would still overlap the object.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int


class Corners(NamedTuple):
  """One corner of each of N objects on the head's map."""

  cells: Int[Array, 'N 2']  # (y, x)
  offsets: Float[Array, 'N 2']  # (x, y) from the cell to the corner, in cells


def object_corners(
  boxes: Float[Array, 'N 4'], shape: tuple[int, int], canvas: tuple[int, int]
) -> tuple[Corners, Corners, Float[Array, 'N 2']]:
  """Corners of boxes, and sides of boxes in cells, rounded up.

  Args:
    boxes: in canvas pixels.
    shape: (height, width) of the map.
    canvas: (height, width) in pixels.

  Returns:
    Top left corners, bottom right corners, sides [N, 2] as (height, width).
  """
  scale = jnp.asarray([shape[1] / canvas[1], shape[0] / canvas[0]] * 2, boxes.dtype)
  last = jnp.asarray([shape[1] - 1, shape[0] - 1])
  on_map = boxes * scale

  def corner(point: Float[Array, 'N 2']) -> Corners:
    cell = jnp.clip(point, 0, last).astype(jnp.int32)
    return Corners(cell[:, ::-1], point - cell)

  sides = jnp.ceil(on_map[:, 2:] - on_map[:, :2])
  return corner(on_map[:, :2]), corner(on_map[:, 2:]), sides[:, ::-1]


def gaussian_radius(sides: Float[Array, 'N 2'], min_overlap: float) -> Float[Array, 'N']:
  """Largest shift of a box's corners in x and y, in cells, with an IoU of at least `min_overlap` with the box.

  The minimum of three cases: both corners shift in the same direction, inwards, or outwards. In each, the radius r
  solves a r^2 - b r + c = 0, and r = 2 c / (b + sqrt(b^2 - 4 a c)) is numerically stable.
  """
  height, width = sides.T
  total, area, iou = height + width, height * width, min_overlap
  cases = (
    (1.0, total, area * (1 - iou) / (1 + iou)),
    (4.0, 2 * total, area * (1 - iou)),
    (-4.0 * iou, 2 * iou * total, area * (1 - iou)),
  )
  radii = [2 * c / jnp.maximum(b + jnp.sqrt(b * b - 4 * a * c), 1e-9) for a, b, c in cases]
  return jnp.minimum(jnp.minimum(*radii[:2]), radii[2])


def draw_gaussians(
  cells: Int[Array, 'B N 2'],
  radii: Int[Array, 'B N'],
  labels: Int[Array, 'B N'],
  valid: Bool[Array, 'B N'],
  shape: tuple[int, int],
  num_classes: int,
) -> Float[Array, 'B H W K']:
  """Draws a heat map per class: the maximum of the Gaussians of its objects, each in a square of 2 r + 1 cells a side.

  A loop draws one object into all images at once, up to the largest number of objects in an image. An object costs the
  map of its class, not the maps of all classes.

  Args:
    cells: (y, x) of the Gaussians' centres.
    radii: r; the standard deviation is (2 r + 1) / 6.
    labels: class of each object.
    valid: objects to draw.
    shape: (H, W) of the maps.
    num_classes: K.
  """
  images = jnp.arange(len(cells))
  y, x = jnp.arange(shape[0])[:, None], jnp.arange(shape[1])

  def draw(i: int, heat: Float[Array, 'B K H W']) -> Float[Array, 'B K H W']:
    radius = radii[:, i, None, None]
    dy, dx = y - cells[:, i, 0, None, None], x - cells[:, i, 1, None, None]
    sigma = (2 * radius + 1) / 6
    gaussian = jnp.exp(-(dy * dy + dx * dx) / (2 * sigma * sigma))
    drawn = valid[:, i, None, None] & (abs(dy) <= radius) & (abs(dx) <= radius)
    return heat.at[images, labels[:, i]].max(jnp.where(drawn, gaussian, 0.0))

  rows = (valid * jnp.arange(1, valid.shape[1] + 1)).max(initial=0)  # last valid row + 1
  blank = jnp.zeros((len(cells), num_classes, *shape), jnp.float32)
  return jnp.moveaxis(lax.fori_loop(0, rows, draw, blank), 1, -1)


def last_in_cell(cells: Int[Array, 'N 2'], valid: Bool[Array, 'N']) -> Bool[Array, 'N']:
  """Marks the last of the objects whose corners share a cell; the cell's offset target is that object's."""
  same = (cells[:, None] == cells).all(-1) & valid
  later = jnp.arange(len(cells))[:, None] < jnp.arange(len(cells))
  return valid & ~(same & later).any(1)
