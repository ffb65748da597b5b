"""Multi-scale deformable attention: by hand, and values and gradients as recorded from mmcv and Detic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import parity_kit
from jaxdet.ops.deformable_attention import deformable_attention
from op_case import op_case

SHAPES = ((12, 16), (6, 8), (3, 4))


def attend(values, locations, weights):
  return deformable_attention(values, SHAPES, locations, weights)


@pytest.mark.parametrize(('x', 'y', 'read'), [(0.25, 0.25, 1.0), (0.75, 0.25, 2.0), (0.5, 0.5, 2.5), (0.0, 0.25, 0.5)])
def test_locations_are_shares_of_a_levels_sides(x, y, read):
  values, location = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1, 1), jnp.array([x, y]).reshape(1, 1, 1, 1, 1, 2)
  assert deformable_attention(values, ((2, 2),), location, jnp.ones((1, 1, 1, 1, 1))) == read


def test_levels_and_points_are_summed_by_weight():
  values = jnp.array([1.0, 1.0, 1.0, 1.0, 10.0]).reshape(1, 5, 1, 1)
  locations = jnp.full((1, 1, 1, 2, 2, 2), 0.5)
  weights = jnp.array([[0.1, 0.2], [0.3, 0.4]]).reshape(1, 1, 1, 2, 2)
  out = deformable_attention(values, ((2, 2), (1, 1)), locations, weights)
  np.testing.assert_allclose(out, [[[0.3 + 7.0]]], rtol=1e-6)


def test_levels_that_do_not_fit_the_values_are_named():
  ones = jnp.ones((1, 1, 1, 2, 1))
  with pytest.raises(ValueError, match='have 5 cells, but there are values of 4'):
    deformable_attention(jnp.ones((1, 4, 1, 1)), ((2, 2), (1, 1)), ones[..., None].repeat(2, -1), ones)


def test_values_and_gradients_are_mmcvs():
  recorded = op_case('ms_deform_attn', 'function')
  inputs = [jnp.asarray(recorded.inputs[name]) for name in ('value', 'locations', 'weights')]
  out, backward = jax.jit(lambda *x: jax.vjp(attend, *x))(*inputs)
  np.testing.assert_allclose(out, recorded.outputs['out'], atol=1e-5)
  value, locations, weights = backward(jnp.asarray(recorded.cotangent(out.shape)))
  samples = parity_kit.recipe().digest(value)['samples']
  np.testing.assert_allclose(samples, recorded.outputs['grad/value'], atol=1e-5)
  np.testing.assert_allclose(locations, recorded.outputs['grad/locations'], atol=1e-4)
  np.testing.assert_allclose(weights, recorded.outputs['grad/weights'], atol=1e-5)


def test_values_and_gradients_are_deformable_detrs():
  arrays, _ = parity_kit.case('ops/d2_deform_attn')
  recipe = parity_kit.recipe()
  values = recipe.normal('ops|msda|v', (2, 252, 4, 8))
  locations = 1.3 * recipe.uniform('ops|msda|loc', (2, 10, 4, 3, 4, 2)) - 0.15
  weights = jax.nn.softmax(recipe.normal('ops|msda|w', (2, 10, 4, 12))).reshape(2, 10, 4, 3, 4)
  inputs = [jnp.asarray(x, jnp.float32) for x in (values, locations, weights)]
  out, backward = jax.jit(lambda *x: jax.vjp(attend, *x))(*inputs)
  np.testing.assert_allclose(out, arrays['out'], atol=1e-5)
  gradients = backward(jnp.asarray(recipe.normal('ops|msda|g', out.shape), jnp.float32))
  for name, gradient in zip(('grad_value', 'grad_loc', 'grad_weight'), gradients, strict=True):
    scale = np.abs(arrays[name]).max()
    np.testing.assert_allclose(gradient / scale, arrays[name] / scale, atol=1e-5, err_msg=name)


def test_a_bfloat16_map_keeps_its_type_and_sums_in_float32():
  rng = np.random.default_rng(0)
  values = jnp.asarray(rng.normal(size=(1, 252, 4, 8)), jnp.bfloat16)
  locations, weights = jnp.asarray(rng.random((1, 10, 4, 3, 4, 2)), jnp.float32), jnp.ones((1, 10, 4, 3, 4)) / 12
  out, exact = attend(values, locations, weights), attend(values.astype(jnp.float32), locations, weights)
  assert out.dtype == jnp.bfloat16
  # The sums may differ in their order, so that one may round to the next bfloat16.
  np.testing.assert_allclose(out, exact.astype(jnp.bfloat16), rtol=2**-7)
  assert (out == exact.astype(jnp.bfloat16)).mean() > 0.99
