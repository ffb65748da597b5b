"""Corners as targets: cells and offsets, radii that keep the overlap, heat maps."""

import jax.numpy as jnp
import numpy as np

from jaxdet.assign.corners import draw_gaussians, gaussian_radius, last_in_cell, object_corners
from op_case import op_case


def test_a_corner_is_a_cell_and_what_is_left():
  boxes = np.float32([[10, 21, 50.5, 64], [0, 0, 128, 64]])
  first, last, sides = object_corners(boxes, (16, 32), (64, 128))
  assert first.cells.tolist() == [[5, 2], [0, 0]]
  assert last.cells.tolist() == [[15, 12], [15, 31]]  # the canvas's end is in its last cell
  np.testing.assert_allclose(first.offsets, [[0.5, 0.25], [0, 0]])
  np.testing.assert_allclose(last.offsets, [[0.625, 1], [1, 1]])
  assert sides.tolist() == [[11, 11], [16, 32]]  # 10.75 and 10.125, rounded up


def test_within_the_radius_boxes_overlap_enough_and_one_cell_beyond_not_all_do():
  for height, width in ((12, 12), (40, 15), (9, 120), (77, 64)):
    radius = int(gaussian_radius(jnp.array([[height, width]], jnp.float32), 0.3)[0])
    assert _least_iou(height, width, radius) >= 0.3 > _least_iou(height, width, radius + 1)


def _least_iou(height: int, width: int, r: int) -> float:
  """Of a box with those whose corners are off by r: both one way, both inwards, both outwards."""
  area = height * width
  shifted = max(height - r, 0) * max(width - r, 0)
  shrunk = max(height - 2 * r, 0) * max(width - 2 * r, 0)
  grown = (height + 2 * r) * (width + 2 * r)
  return min(shifted / (2 * area - shifted), shrunk / area, area / grown)


def test_radii_equal_mmdetections():
  case = op_case('gaussian', 'radius')
  radii = gaussian_radius(jnp.asarray(case.inputs['sizes'], jnp.float32), case.args['min_overlap'])
  np.testing.assert_allclose(radii, case.outputs['radius'], rtol=1e-6)


def test_rows_of_nothing_have_radius_zero():
  assert gaussian_radius(jnp.zeros((2, 2)), 0.3).tolist() == [0, 0]


def test_heat_equals_mmdetections():
  case = op_case('gaussian', 'target')
  draws = jnp.array([[5, 6, 3], [8, 7, 2], [31, 0, 4], [15, 23, 5]])  # x, y, radius, as recorded
  heat = draw_gaussians(
    draws[None, :, 1::-1], draws[None, :, 2], jnp.zeros((1, 4), int), jnp.ones((1, 4), bool), (24, 32), 1
  )
  np.testing.assert_allclose(heat[0, ..., 0], case.outputs['heat'], rtol=1e-5, atol=1e-7)


def test_every_image_and_class_has_its_own_map_and_padding_none():
  cells = jnp.array([[[2, 3], [4, 4]], [[0, 0], [5, 6]]])
  labels = jnp.array([[1, 2], [0, 1]])
  valid = jnp.array([[True, False], [False, True]])  # rows that hold something may come last
  heat = np.asarray(draw_gaussians(cells, jnp.ones((2, 2), int), labels, valid, (7, 8), 3))
  assert heat[0, 2, 3, 1] == 1 and heat[1, 5, 6, 1] == 1
  assert (heat > 0).sum((1, 2)).tolist() == [[0, 9, 0], [0, 9, 0]]
  assert (heat == 1).sum() == 2
  np.testing.assert_allclose(heat[0, 2, 4, 1], np.exp(-1 / (2 * 0.5**2)), rtol=1e-6)


def test_of_a_shared_cell_the_last_object_counts():
  cells = np.array([[1, 2], [1, 2], [2, 1], [1, 2]])
  assert last_in_cell(cells, np.array([True, True, True, False])).tolist() == [False, True, True, False]
  assert last_in_cell(cells, np.ones(4, bool)).tolist() == [False, False, True, True]
