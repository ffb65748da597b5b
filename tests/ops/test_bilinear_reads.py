"""Bilinear reads: all forms against a loop over points, their gradients, and the edges of the definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from roi_samples import bilinear

from jaxdet.ops import bilinear_gather, bilinear_matmul
from jaxdet.ops import bilinear_reads as module
from jaxdet.ops.bilinear_reads import FORMS, bilinear_reads


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
  monkeypatch.setattr(bilinear_matmul, 'SLOTS', 1)  # chunks of 128 queries
  monkeypatch.setattr(bilinear_matmul, 'CELLS', 80)  # blocks of eight rows
  monkeypatch.setattr(bilinear_gather, 'CHUNK', 2000)  # some ten queries
  with jax.default_matmul_precision('highest'):
    yield


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
  monkeypatch.setattr(module, '_form', FORMS[request.param])
  return request.param


def random_arguments(queries, height=21, width=10, groups=2, points=3, depth=4):
  rng = np.random.default_rng(0)
  feature = rng.normal(size=(2, height, width, groups, depth))
  y = rng.uniform(-2, height + 1, (2, queries, groups, points))
  x = rng.uniform(-2, width + 1, y.shape)
  return tuple(jnp.asarray(a, jnp.float32) for a in (feature, y, x, rng.normal(size=y.shape)))


def point(y, x):
  """What one point reads of a 2 x 2 map of one channel."""
  feature = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 2, 1, 1)
  y, x = (jnp.array(place, jnp.float32).reshape(1, 1, 1, 1) for place in (y, x))
  return bilinear_reads(feature, y, x, jnp.ones_like(y)).sum()


@pytest.mark.parametrize('queries', [5, 300])
def test_equals_a_loop_over_points(form, queries):
  feature, y, x, weights = random_arguments(queries)
  out = jax.jit(bilinear_reads)(feature, y, x, weights)
  expected = np.zeros(out.shape)
  for b, q, g, p in np.ndindex(y.shape):
    padded = np.pad(np.asarray(feature[b, :, :, g], np.float64), ((3, 3), (3, 3), (0, 0)))
    expected[b, q, g] += float(weights[b, q, g, p]) * bilinear(
      padded, float(y[b, q, g, p]) + 3, float(x[b, q, g, p]) + 3
    )
  np.testing.assert_allclose(out, expected, atol=1e-5)


def test_all_forms_have_one_gradient(monkeypatch):
  arguments = random_arguments(300)
  cotangents = jnp.asarray(np.random.default_rng(1).normal(size=(2, 300, 2, 4)), jnp.float32)
  gradients = {}
  for name, form in FORMS.items():
    monkeypatch.setattr(module, '_form', form)
    gradients[name] = jax.jit(lambda *a: jax.vjp(bilinear_reads, *a)[1](cotangents))(*arguments)
  for name, *ours in zip(('feature', 'y', 'x', 'weights'), *gradients.values(), strict=True):
    for other in ours[1:]:
      np.testing.assert_allclose(ours[0], other, atol=2e-5, err_msg=name)


def test_gradients_are_those_of_finite_differences(form):
  with jax.enable_x64(True):
    arguments = [a.astype(jnp.float64) for a in random_arguments(7)]
    check_grads(bilinear_reads, arguments, 1, ('rev',), eps=1e-6)


@pytest.mark.parametrize(
  ('y', 'x', 'read'), [(0, 0, 1.0), (0, 1, 2.0), (0.5, 0.25, 2.25), (-0.25, 1, 1.5), (1.5, 0.5, 1.75), (1.75, 1.5, 0.5)]
)
def test_a_sample_fades_out_over_a_cell_beyond_the_border(form, y, x, read):
  np.testing.assert_allclose(point(y, x), read, rtol=1e-6)


def test_what_is_not_within_a_cell_reads_nothing_and_has_no_gradient(form):
  far = jnp.array([-1.0, 2.0, 1e9, -1e9, jnp.nan, jnp.inf, -jnp.inf])
  near = jnp.full(far.shape, 0.5)
  y, x = (jnp.concatenate(parts).reshape(1, -1, 1, 1) for parts in ((far, near), (near, far)))
  out, backward = jax.vjp(bilinear_reads, jnp.ones((1, 2, 2, 1, 1)), y, x, jnp.ones_like(y))
  for array in (out, *backward(jnp.ones_like(out))):
    np.testing.assert_array_equal(array, 0.0)


def test_on_a_cell_the_slope_is_the_one_above(form):
  assert jax.grad(point, (0, 1))(0.0, 0.0) == (2.0, 1.0)


def test_only_blocks_with_points_are_visited():
  blocks = bilinear_matmul._Blocks(jnp.zeros((1, 24, 10, 1)), rows=8, height=21)
  for places, expected in (((-0.5, 3.0), (0, 1)), ((7.0, 7.2), (0, 2)), ((8.0, -2.0), (1, 2)), ((20.9,), (2, 3))):
    assert blocks.between(jnp.array(places).reshape(-1, 1, 1)) == expected, places
  first, end = blocks.between(jnp.full((1, 1, 2), -2.0))
  assert first >= end


def test_the_gradient_of_a_bfloat16_map_is_summed_in_float32(form):
  feature = jnp.ones((1, 2, 2, 1, 1), jnp.bfloat16)
  places = jnp.full((1, 1000, 1, 1), 0.5)
  out, backward = jax.vjp(lambda f: bilinear_reads(f, places, places, jnp.ones_like(places)), feature)
  assert out.dtype == jnp.float32
  # In bfloat16 a sum of equal parts stops growing after some 256 of them.
  np.testing.assert_array_equal(backward(out)[0], jnp.full(feature.shape, 250.0, jnp.bfloat16))


def test_bfloat16_features_give_what_float32_gives(form):
  # Gathered cells have the same values in both types, and every sum is one of float32. In which order, and with fused
  # products or without, is the compiler's choice: some twelve roundings to 24 bits. Matrix units take shares and
  # cotangents in the map's type: 8 bits of each remain.
  tolerance = 2**-7 if form == 'matmul' else 2**-20
  feature, *points = random_arguments(20)
  feature = feature.astype(jnp.bfloat16)
  cotangents = jnp.asarray(np.random.default_rng(1).normal(size=(2, 20, 2, 4)), jnp.float32)
  out, backward = jax.vjp(bilinear_reads, feature, *points)
  exact, exact_backward = jax.vjp(bilinear_reads, feature.astype(jnp.float32), *points)
  np.testing.assert_allclose(out, exact, atol=tolerance * np.abs(exact).max())
  for ours, other in zip(backward(cotangents)[1:], exact_backward(cotangents)[1:], strict=True):
    np.testing.assert_allclose(ours, other, atol=tolerance * np.abs(other).max())
