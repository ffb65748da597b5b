"""Multi-scale deformable attention: by hand, as recorded from mmcv and Detic, and its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import parity_kit
from jaxdet.ops.deformable_attention import deformable_attention, sum_by_cell_scattered, sum_by_cell_sorted
from op_case import op_case

SHAPES = ((12, 16), (6, 8), (3, 4))


def attend(values, locations, weights, shapes=SHAPES):
  """Over a batch."""
  return jax.vmap(lambda v, l, w: deformable_attention(v, shapes, l, w))(values, locations, weights)


def point(x, y, values=((1.0, 2.0), (3.0, 4.0))):
  """What one point reads of a 2 x 2 map of one channel."""
  values = jnp.array(values).reshape(4, 1, 1)
  out = deformable_attention(values, ((2, 2),), jnp.array([x, y]).reshape(1, 1, 1, 1, 2), jnp.ones((1, 1, 1, 1)))
  return float(out[0, 0])


def test_a_point_is_a_bilinear_sample_of_cell_centres():
  assert point(0.25, 0.25) == 1.0  # the centre of the first cell
  assert point(0.75, 0.25) == 2.0
  assert point(0.5, 0.5) == 2.5
  assert point(0.375, 0.75) == 3.25


@pytest.mark.parametrize(('x', 'y', 'read'), [(0.0, 0.25, 0.5), (-0.25, 0.25, 0.0), (1.0, 1.0, 1.0), (5.0, 0.5, 0.0)])
def test_beyond_the_map_all_is_zero(x, y, read):
  assert point(x, y) == read


@pytest.mark.parametrize('x', [np.nan, np.inf, -np.inf])
def test_a_location_that_is_no_number_reads_nothing_and_has_no_gradient(x):
  assert point(x, 0.5) == 0.0
  gradient = jax.grad(lambda x: deformable_attention(jnp.ones((4, 1, 1)), ((2, 2),), x, jnp.ones((1, 1, 1, 1))).sum())
  assert (gradient(jnp.full((1, 1, 1, 1, 2), x)) == 0).all()


def test_levels_and_points_are_summed_by_weight():
  values = jnp.array([1.0, 1.0, 1.0, 1.0, 10.0]).reshape(5, 1, 1)
  locations = jnp.full((1, 1, 2, 2, 2), 0.5)
  weights = jnp.array([[0.1, 0.2], [0.3, 0.4]]).reshape(1, 1, 2, 2)
  out = deformable_attention(values, ((2, 2), (1, 1)), locations, weights)
  np.testing.assert_allclose(out, [[0.3 + 7.0]], rtol=1e-6)


def test_levels_that_do_not_fit_the_values_are_named():
  with pytest.raises(ValueError, match='have 5 cells, but there are values of 4'):
    deformable_attention(jnp.ones((4, 1, 1)), ((2, 2), (1, 1)), jnp.ones((1, 1, 2, 1, 2)), jnp.ones((1, 1, 2, 1)))


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


def test_gradients_are_those_of_finite_differences():
  rng = np.random.default_rng(0)
  shapes = ((3, 4), (2, 2))
  with jax.enable_x64(True):
    values, weights = jnp.asarray(rng.normal(size=(16, 2, 3))), jnp.asarray(rng.random((5, 2, 2, 3)))
    locations = jnp.asarray(rng.uniform(-0.2, 1.2, (5, 2, 2, 3, 2)))
    check_grads(
      lambda v, l, w: deformable_attention(v, shapes, l, w), (values, locations, weights), 1, ('rev',), eps=1e-6
    )


def test_a_bfloat16_map_keeps_its_type_and_sums_in_float32():
  rng = np.random.default_rng(0)
  values = jnp.asarray(rng.normal(size=(252, 4, 8)), jnp.bfloat16)
  locations, weights = jnp.asarray(rng.random((10, 4, 3, 4, 2)), jnp.float32), jnp.ones((10, 4, 3, 4)) / 12
  out = deformable_attention(values, SHAPES, locations, weights)
  exact = deformable_attention(values.astype(jnp.float32), SHAPES, locations, weights)
  assert out.dtype == jnp.bfloat16
  np.testing.assert_array_equal(out, exact.astype(jnp.bfloat16))


def test_sums_by_cell_have_one_result_in_either_form():
  rng = np.random.default_rng(0)
  cells = jnp.asarray(rng.integers(0, 40, 300)) * 2 % 70  # many, and some that no row has
  rows = jnp.asarray(rng.normal(size=(300, 5)), jnp.float32)
  expected = np.zeros((70, 5))
  np.add.at(expected, np.asarray(cells), np.asarray(rows, np.float64))
  for form in (sum_by_cell_scattered, sum_by_cell_sorted):
    np.testing.assert_allclose(jax.jit(form, static_argnums=2)(rows, cells, 70), expected, atol=1e-5)
