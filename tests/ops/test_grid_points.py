"""Grid points: where heat maps lie, targets against loops over cells, and boxes from points."""

import jax
import numpy as np
import pytest

from jaxdet.ops.grid_points import boxes_of_points, first_cells, grid_targets

SIDE = 28  # of a heat map; the whole map has 56
ROIS = np.float32([[10, 20, 50, 100], [0, 0, 30, 30], [5, 5, 45, 25], [7, 7, 7.9, 60], [0, 0, 0, 0]])
GT = np.float32([[12, 18, 48, 110], [0, 0, 30, 30], [-16, 1, 60, 30], [7, 7, 9, 60], [0, 0, 0, 0]])


def loops(roi, gt, grid_size: int, side: int, radius: int):
  """The targets of one RoI, cell by cell over the whole map, of which each point keeps its part."""
  origin, extent = roi[:2] - (roi[2:] - roi[:2]) / 2, 2 * (roi[2:] - roi[:2])
  out = np.zeros((side, side, grid_size**2))
  if (extent <= grid_size).any():
    return out
  for p in range(grid_size**2):
    column, row = divmod(p, grid_size)
    point = gt[:2] + np.array([column, row]) / (grid_size - 1) * (gt[2:] - gt[:2])
    x, y = np.trunc((point - origin) / extent * 2 * side)
    whole = np.zeros((2 * side, 2 * side))
    for i in range(2 * side):
      for j in range(2 * side):
        whole[i, j] = np.hypot(i - y, j - x) <= radius
    left, top = first_cells(grid_size, side)[p]
    out[..., p] = whole[top : top + side, left : left + side]
  return out


def test_heat_maps_lie_where_their_points_are_expected():
  found = first_cells(3, SIDE).tolist()
  assert found == [[x, y] for x in (0, 14, 28) for y in (0, 14, 28)]
  assert first_cells(2, SIDE).tolist() == [[0, 0], [0, 28], [28, 0], [28, 28]]
  assert first_cells(4, SIDE)[:, 1].tolist()[:4] == [0, 4, 23, 28]


@pytest.mark.parametrize('grid_size, radius', [(3, 1), (2, 0), (4, 2)])
def test_targets_are_circles_round_the_points(grid_size, radius):
  found = np.asarray(grid_targets(ROIS, GT, grid_size, SIDE, radius))
  expected = np.stack([loops(*pair, grid_size, SIDE, radius) for pair in zip(ROIS, GT, strict=True)])
  np.testing.assert_array_equal(found, expected)
  assert found[:3].any((1, 2, 3)).all() and not found[3:].any()  # a RoI that is too thin, and padding


@pytest.mark.parametrize('x, cells', [(0, 5), (-16, 4), (-17, 1), (-20, 0)])
def test_a_point_beyond_the_map_has_the_cells_that_its_circle_reaches(x, cells):
  gt = np.float32([x, 1, 60, 30])
  found = np.asarray(grid_targets(ROIS[2], gt, 3, SIDE, 1))  # the map begins at -15; a cell has 1.43 pixels
  assert found[..., 1].sum() == cells and found[..., 4].sum() == 5


def test_a_point_on_the_border_of_two_cells_is_in_the_second():
  box = np.float32([125.25374, 68.612404, 170.18153, 109.20919])  # whose inverse, times its quarter, is rounded down
  found = np.asarray(jax.jit(grid_targets, static_argnums=(2, 3, 4))(box, box, 3, SIDE, 0))
  for p, (x, y) in enumerate((x, y) for x in (14, 28, 42) for y in (14, 28, 42)):
    left, top = first_cells(3, SIDE)[p]
    assert found[..., p].sum() == found[y - top, x - left, p] == 1


def test_points_of_targets_give_the_objects_box_back():
  targets = np.asarray(grid_targets(ROIS[:2], GT[:2], 3, SIDE, 0))
  found = np.asarray(boxes_of_points(targets, ROIS[:2]))
  cell = np.tile(2 * (ROIS[:2, 2:] - ROIS[:2, :2]) / (2 * SIDE), 2)
  assert (np.abs(found - GT[:2]) <= cell / 2 + 1e-4).all()


def test_a_side_is_where_its_points_are_by_their_probabilities():
  heat_maps = np.full((SIDE, SIDE, 9), 1e-3, np.float32)
  for p, (x, y, probability) in enumerate(
    [(10, 5, 0.9), (12, 14, 0.3), (11, 20, 0.6), (5, 6, 0.5), (0, 0, 0.1), (3, 21, 0.2), (2, 7, 0.8), (4, 9, 0.4)]
    + [(3, 22, 0.7)]
  ):
    heat_maps[y, x, p] = probability
  roi = np.float32([100, 50, 156, 106])  # a cell of the whole map has two pixels; it begins at (72, 22)
  left = (10.5 * 0.9 + 12.5 * 0.3 + 11.5 * 0.6) / 1.8
  top = (5.5 * 0.9 + 6.5 * 0.5 + 7.5 * 0.8) / 2.2
  right = 28 + (2.5 * 0.8 + 4.5 * 0.4 + 3.5 * 0.7) / 1.9
  bottom = 28 + (20.5 * 0.6 + 21.5 * 0.2 + 22.5 * 0.7) / 1.5
  expected = [72 + 2 * left, 22 + 2 * top, 72 + 2 * right, 22 + 2 * bottom]
  np.testing.assert_allclose(boxes_of_points(heat_maps, roi), expected, rtol=1e-6)
