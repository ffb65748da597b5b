"""Which points are for which object."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.assign.points import match_points

STRIDE = 8


def grid(side: int):
  """The points of a side x side map of stride 8: 4, 12, 20, .. along both axes."""
  y, x = np.meshgrid(np.arange(side), np.arange(side), indexing='ij')
  return jnp.asarray(np.stack([x, y], -1).reshape(-1, 2) * STRIDE + STRIDE / 2, jnp.float32)


def matched(objects, side=8, least=0.0, largest=np.inf, radius=0.0, range_ends=True, valid=None):
  """A map of object numbers, -1 where there is none."""
  points = grid(side)
  count = points.shape[0]
  objects = jnp.asarray(objects, jnp.float32).reshape(-1, 4)
  found = jax.jit(match_points, static_argnames=('radius', 'range_ends'))(
    points,
    jnp.full(count, float(STRIDE)),
    jnp.tile(jnp.asarray([least, largest]), (count, 1)),
    objects,
    jnp.ones(len(objects), bool) if valid is None else jnp.asarray(valid),
    radius=radius,
    range_ends=range_ends,
  )
  return np.where(found.positive, found.index, -1).reshape(side, side)


def test_a_point_is_strictly_inside_its_object():
  found = matched([[4, 4, 29, 21]])  # x at 12, 20, 28; y at 12, 20
  assert np.argwhere(found == 0).tolist() == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]


def test_the_smaller_of_two_objects_has_the_point():
  found = matched([[0, 0, 64, 64], [8, 8, 24, 24]])
  assert (found == 1).sum() == 4 and (found == 0).sum() == 60
  assert matched([[0, 0, 16, 16], [0, 0, 16, 16]]).max() == 0  # of equals the first


@pytest.mark.parametrize('range_ends, count', [(True, 3), (False, 1)])
def test_the_furthest_side_lies_in_the_levels_range(range_ends, count):
  # Distances to the furthest side of a strip of 24 x 8: 20, 12, 20.
  assert (matched([[0, 0, 24, 8]], largest=20.0, range_ends=range_ends) == 0).sum() == count
  assert (matched([[0, 0, 24, 8]], least=20.0, range_ends=range_ends) == 0).sum() == (2 if range_ends else 0)


def test_centre_sampling_leaves_points_near_the_centre():
  # The centre is at (32, 32); within 1.5 strides of it, strictly, are 28 and 36, and not 20 and 44.
  assert np.argwhere(matched([[0, 0, 64, 64]], radius=1.5) == 0).tolist() == [[3, 3], [3, 4], [4, 3], [4, 4]]


def test_rows_without_an_object_and_images_without_any():
  assert (matched([[0, 0, 64, 64]], valid=[False]) == -1).all()
  # More objects than are taken at once, in any place.
  objects = np.zeros((21, 4), np.float32)
  objects[[3, 12, 20]] = [[0, 0, 16, 16], [16, 16, 32, 32], [48, 48, 64, 64]]
  found = matched(objects, valid=np.arange(21) % 1 == 0)
  assert sorted(set(found.reshape(-1).tolist())) == [-1, 3, 12, 20]


def test_no_array_holds_every_point_for_every_object():
  points, objects = grid(16), jnp.zeros((300, 4))
  arguments = points, jnp.ones(256), jnp.ones((256, 2)), objects, jnp.ones(300, bool)
  text = jax.jit(lambda *args: match_points(*args, radius=0.0, range_ends=True)).lower(*arguments).as_text()
  assert '8x256xf32' in text and '300x256x' not in text and '304x256x' not in text
