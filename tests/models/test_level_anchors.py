"""Anchors of levels whose strides are a pyramid's, or stated."""

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from jaxdet.models.level_anchors import level_anchors, level_strides, training_anchors

MAPS = {3: jnp.zeros((1, 2, 3, 1)), 4: jnp.zeros((1, 1, 2, 1))}


def settings(**anchors) -> FrozenConfigDict:
  """Of a head with one square anchor of 10 pixels around the middle of every cell."""
  square = {
    'sizes': ((10,), (10,)),
    'aspect_ratios': (1.0,),
    'anchor_order': 'size_major',
    'offset': 0.5,
    'rounded': False,
  }
  return FrozenConfigDict({'anchors': {'strides': (), **square, **anchors}, 'train_anchors': 'image', 'border': -1})


def centres(strides) -> list:
  made = level_anchors(MAPS, settings(strides=strides).anchors)
  return [((level[:, :2] + level[:, 2:]) / 2).tolist() for level in made.values()]


def test_a_pyramid_halves_its_maps_from_level_to_level():
  assert level_strides(MAPS, settings().anchors) == {3: 8, 4: 16}
  assert centres(()) == [[[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]], [[8, 8], [24, 8]]]


def test_strides_that_are_stated_place_the_anchors():
  assert centres((10, 30)) == [[[5, 5], [15, 5], [25, 5], [5, 15], [15, 15], [25, 15]], [[15, 15], [45, 15]]]


def test_cells_that_begin_beyond_the_padded_image_take_no_part_by_their_strides():
  def part(strides):
    anchors = level_anchors(MAPS, settings().anchors)
    return training_anchors(MAPS, anchors, np.array([20, 20]), settings(strides=strides)).tolist()

  assert part(()) == [True] * 8
  assert part((20, 40)) == [True] * 2 + [False] + [True] * 2 + [False] + [True, False]


def test_every_level_needs_a_stride():
  with pytest.raises(ValueError, match=r'anchors.strides \(8,\) are not one for each of the levels \[3, 4\]'):
    centres((8,))
