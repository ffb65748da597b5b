"""The layer that pools regions where they say, on a small pyramid."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models.roi_heads.deformable_roi_pool import DeformableRoIPool
from jaxdet.ops.roi_align import multilevel_roi_align

FEATURES = {level: jax.random.normal(jax.random.key(level), (1, 128 >> level, 128 >> level, 4)) for level in (2, 3)}
BOXES = jnp.array([[[10.0, 20.0, 40.0, 50.0], [5.0, 5.0, 120.0, 100.0]]])  # of level 2, and of level 3
PLAIN = multilevel_roi_align(FEATURES, BOXES, output_size=3, canonical_size=112)


@functools.cache
def made(version: str):
  layer = DeformableRoIPool(version, 3, canonical_size=112, channels=8)
  return layer, jax.jit(layer.init)(jax.random.key(0), FEATURES, BOXES)


def with_bias(variables, name, bias):
  params = variables['params']
  return {'params': {**params, name: {**params[name], 'bias': jnp.asarray(bias, jnp.float32)}}}


@pytest.mark.parametrize('version, share', [('v1', 1.0), ('v2', 0.5)])
def test_it_begins_as_roi_align_the_second_version_with_half_of_it(version, share):
  layer, variables = made(version)
  np.testing.assert_allclose(layer.apply(variables, FEATURES, BOXES), share * PLAIN, rtol=1e-4, atol=1e-5)


def test_every_level_has_layers_of_its_own():
  _, variables = made('v2')
  shapes = jax.tree.map(jnp.shape, variables['params'])
  names = [f'offset{level}_fc{i}' for level in (2, 3) for i in range(3)]
  assert sorted(shapes) == sorted(names + [f'weight{level}_fc{i}' for level in (2, 3) for i in range(2)])
  assert shapes['offset2_fc0']['kernel'] == (3 * 3 * 4, 8) and shapes['offset3_fc2']['kernel'] == (8, 18)
  assert shapes['weight2_fc1']['kernel'] == (8, 9)


def test_bins_move_by_tenths_of_the_region_x_first():
  layer, variables = made('v1')
  # All bins of level 2 to the right by half of their region's width: 5 tenths.
  moved = layer.apply(with_bias(variables, 'offset2_fc2', np.repeat([5.0, 0.0], 9)), FEATURES, BOXES)
  expected = multilevel_roi_align(FEATURES, BOXES + jnp.array([15.0, 0, 15, 0]), output_size=3, canonical_size=112)
  np.testing.assert_allclose(moved[0, 0], expected[0, 0], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(moved[0, 1], PLAIN[0, 1], rtol=1e-4, atol=1e-5)  # of the other level


def test_bins_are_weighted_row_by_row():
  layer, variables = made('v2')
  logits = np.full(9, 100.0)
  logits[5] = -100.0  # the last bin of the second row
  weighted = layer.apply(with_bias(variables, 'weight3_fc1', logits), FEATURES, BOXES)
  np.testing.assert_allclose(weighted[0, 1], PLAIN[0, 1].at[1, 2].set(0.0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('version', ['v1', 'v2'])
def test_all_layers_learn(version):
  layer, variables = made(version)
  noise = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(7), x.shape), variables)
  gradients = jax.grad(lambda v: (layer.apply(v, FEATURES, BOXES) ** 2).sum())(noise)
  assert all(jnp.abs(g).max() > 0 for g in jax.tree.leaves(gradients))


def test_an_unknown_version_is_named():
  with pytest.raises(ValueError, match="'v3': choose v1 or v2"):
    DeformableRoIPool('v3', 3).init(jax.random.key(0), FEATURES, BOXES)
