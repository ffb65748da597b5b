"""Points of a grid on an object's box, as cells of heat maps over a RoI (Grid R-CNN, Lu et al., 2019).

A RoI's whole map has twice its sides, round the same centre. A point's own heat map is a square half as large, where
the point is to be expected (Grid R-CNN Plus): at the border of the whole map for points of an object's sides, in the
middle for those between. Points are numbered column by column: of a 3 x 3 grid, 0 to 2 are on the left side.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int


def first_cells(grid_size: int, side: int) -> Int[np.ndarray, 'P 2']:
  """(x, y) of the whole map's cell where each point's heat map begins.

  Args:
    grid_size: points along a side of the grid.
    side: cells of a heat map; the whole map has 2 * side.
  """
  along = np.array([max(int((k / (grid_size - 1) - 0.25) * 2 * side), 0) for k in range(grid_size)])
  along[-1] = side
  return np.stack(np.meshgrid(along, along, indexing='ij'), -1).reshape(-1, 2)


def grid_targets(
  rois: Float[Array, '*B 4'], gt_boxes: Float[Array, '*B 4'], grid_size: int, side: int, radius: int
) -> Float[Array, '*B S S P']:
  """1 in the cells within a radius of each point of an object's grid, 0 in all others.

  A point beyond the whole map has cells on it where its circle reaches it. RoIs with a side of at most half of
  `grid_size` pixels have no points.

  Args:
    rois: boxes in pixels.
    gt_boxes: their objects'.
    grid_size: points along a side of the grid.
    side: S, cells of a heat map.
    radius: in cells.
  """
  origin, extent = _whole_map(rois)
  share = np.linspace(1.0, 0.0, grid_size, dtype=np.float32)
  share = np.stack(np.meshgrid(share, share, indexing='ij'), -1).reshape(-1, 2)  # of the first corner
  points = share * gt_boxes[..., None, :2] + (1 - share) * gt_boxes[..., None, 2:]
  large = (extent > grid_size).all(-1)[..., None, None]
  # Points of a RoI that is its object's own box lie on the border of two cells, where rounding decides. So that it does
  # as upstream, this is a division; by an array known to be repeated the compiler would multiply with its inverse.
  divisor = lax.optimization_barrier(jnp.broadcast_to(jnp.where(large, extent[..., None, :], 1.0), points.shape))
  cells = (points - origin[..., None, :]) / divisor * (2 * side)
  cells = cells.astype(jnp.int32) - first_cells(grid_size, side)  # towards zero, as upstream
  row = jnp.arange(side)
  apart = jnp.square(row[:, None, None] - cells[..., None, None, :, 1])
  apart = apart + jnp.square(row[:, None] - cells[..., None, None, :, 0])
  return ((apart <= radius**2) & large[..., None]).astype(rois.dtype)


def boxes_of_points(heat_maps: Float[Array, '*B S S P'], rois: Float[Array, '*B 4']) -> Float[Array, '*B 4']:
  """Boxes of the likeliest cell of each point: a side is where its points are, weighted by their probabilities.

  Args:
    heat_maps: probabilities.
    rois: the boxes, in pixels, that the heat maps are for.
  """
  side, points = heat_maps.shape[-2:]
  grid_size = round(points**0.5)
  flat = heat_maps.reshape(*heat_maps.shape[:-3], side * side, points)
  best, cell = flat.max(-2), flat.argmax(-2)
  cells = jnp.stack([cell % side, cell // side], -1) + first_cells(grid_size, side)
  origin, extent = _whole_map(rois)
  places = (cells + 0.5) / (2 * side) * extent[..., None, :] + origin[..., None, :]
  best = best.reshape(*best.shape[:-1], grid_size, grid_size)
  places = places.reshape(*best.shape, 2)

  def voted(axis: int, k: int) -> Float[Array, '*B']:
    """Mean coordinate of the k-th column (axis 0: x) or row (1: y) of points, weighted by their probabilities."""
    weights = best[..., k, :] if axis == 0 else best[..., :, k]
    values = places[..., k, :, 0] if axis == 0 else places[..., :, k, 1]
    return (values * weights).sum(-1) / weights.sum(-1)

  return jnp.stack([voted(0, 0), voted(1, 0), voted(0, -1), voted(1, -1)], -1)


def _whole_map(rois: Float[Array, '*B 4']) -> tuple[Float[Array, '*B 2'], Float[Array, '*B 2']]:
  """First corner and sides in pixels of the whole map of a RoI."""
  sides = rois[..., 2:] - rois[..., :2]
  origin = rois[..., :2] - sides / 2
  return origin, (rois[..., 2:] + sides / 2) - origin
