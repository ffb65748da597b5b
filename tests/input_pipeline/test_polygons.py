import numpy as np

from input_pipeline.polygons import Polygons


def polygons(*objects):
  """Of each object a list of polygons, each a list of points."""
  flat = [np.asarray(polygon, np.float32).ravel() for polygons in objects for polygon in polygons]
  return Polygons.from_flat(np.concatenate(flat), np.array([len(f) for f in flat]), [len(o) for o in objects])


SQUARE = [(2, 2), (8, 2), (8, 8), (2, 8)]
TRIANGLE = [(0, 0), (2, 0), (0, 2)]


def area(points):
  x, y = np.asarray(points).T
  return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def parts(clipped):
  return np.split(clipped.points, np.cumsum(clipped.lengths)[:-1])


def test_owners_follow_the_objects():
  shapes = polygons([SQUARE], [], [TRIANGLE, SQUARE])
  np.testing.assert_array_equal(shapes.owners, [0, 2, 2])
  np.testing.assert_array_equal(shapes.counts(3), [1, 0, 2])
  np.testing.assert_array_equal(shapes.boxes(3)[[0, 2]], [[2, 2, 8, 8], [0, 0, 8, 8]])
  assert np.isinf(shapes.boxes(3)[1]).all()


def test_take_numbers_objects_anew():
  taken = polygons([SQUARE], [], [TRIANGLE, SQUARE]).take(np.array([False, True, True]))
  np.testing.assert_array_equal(taken.owners, [1, 1])
  np.testing.assert_array_equal(taken.lengths, [3, 4])
  np.testing.assert_array_equal(taken.points[:3], TRIANGLE)


def test_move_scales_then_shifts():
  moved = polygons([TRIANGLE]).move(np.array([-2.0, 1.0]), np.array([10.0, 3.0]))
  np.testing.assert_array_equal(moved.points, [(10, 3), (6, 3), (10, 5)])


def test_what_lies_inside_is_not_touched():
  shapes = polygons([SQUARE], [TRIANGLE])
  assert shapes.clip(8, 8) is shapes


def test_clip_by_hand():
  clipped = polygons([SQUARE]).move(np.ones(2), np.array([-4.0, -5.0])).clip(height=10, width=3)
  np.testing.assert_array_equal(clipped.boxes(1), [[0, 0, 3, 3]])
  assert area(clipped.points) == 9


def test_a_cut_triangle_has_a_tighter_box():
  # Only the tip near (2, 0) is right of x = 1: it is no higher than 1, though the triangle is.
  clipped = polygons([TRIANGLE]).move(np.ones(2), np.array([-1.0, 0.0])).clip(5, 5)
  np.testing.assert_array_equal(clipped.boxes(1), [[0, 0, 1, 1]])


def test_polygons_outside_are_dropped():
  far = [(20, 20), (30, 20), (30, 30)]
  touching = [(10, 0), (12, 0), (12, 5)]  # shares an edge's end with the border, but no area
  clipped = polygons([far], [SQUARE, far], [touching]).clip(10, 10)
  np.testing.assert_array_equal(clipped.owners, [1])
  np.testing.assert_array_equal(clipped.points, SQUARE)


def test_clipped_area_equals_counting():
  rng = np.random.default_rng(0)
  angles = np.sort(rng.uniform(0, 2 * np.pi, 40))
  star = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(2, 12, (40, 1)) + [8, 5]
  clipped = polygons([star.tolist()], [SQUARE]).clip(10, 10)
  y, x = (np.mgrid[:1000, :1000] + 0.5) / 100
  star = np.float32(star).astype(np.float64)
  inside = np.zeros(x.shape, bool)
  for (ax, ay), (bx, by) in zip(star, np.roll(star, -1, axis=0), strict=True):
    inside ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
  np.testing.assert_allclose(area(parts(clipped)[0]), inside.sum() / 1e4, rtol=2e-3)
  np.testing.assert_array_equal(parts(clipped)[1], SQUARE)


def test_outlines_are_closed_rings_of_objects_that_fit():
  shapes = polygons([SQUARE], [], [TRIANGLE, SQUARE], [TRIANGLE])
  vertices, parts = shapes.outlines(4, max_vertices=5)
  np.testing.assert_array_equal(vertices[0], [*SQUARE, SQUARE[0]])
  np.testing.assert_array_equal(vertices[3], [*TRIANGLE, TRIANGLE[0], (0, 0)])
  np.testing.assert_array_equal(parts, [[0] * 5, [-1] * 5, [-1] * 5, [0, 0, 0, 0, -1]])
  vertices, parts = shapes.outlines(4, max_vertices=9)
  np.testing.assert_array_equal(vertices[2], [*TRIANGLE, TRIANGLE[0], *SQUARE, SQUARE[0]])
  np.testing.assert_array_equal(parts[2], [0, 0, 0, 0, 1, 1, 1, 1, 1])
