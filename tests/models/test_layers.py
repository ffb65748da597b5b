"""Convolution and normalisation layers against hand-made numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models.layers.conv import Conv
from jaxdet.models.layers.norm import RESIDUAL_SCALE, GroupNorm, norm


def naive_conv(x, kernel, stride, groups):
  """Convolution of [H, W, C] by loops, zero padded by size // 2 on all sides."""
  size, _, inputs, outputs = kernel.shape
  x = np.pad(x, ((size // 2, size // 2), (size // 2, size // 2), (0, 0)))
  height, width = ((n - size) // stride + 1 for n in x.shape[:2])
  out = np.zeros((height, width, outputs))
  for i in range(height):
    for j in range(width):
      patch = x[i * stride : i * stride + size, j * stride : j * stride + size]
      for o in range(outputs):
        first = o // (outputs // groups) * inputs
        out[i, j, o] = (patch[..., first : first + inputs] * kernel[..., o]).sum()
  return out


@pytest.mark.parametrize('size, stride, groups', [(1, 1, 1), (1, 2, 1), (3, 1, 1), (3, 2, 1), (3, 2, 2), (7, 2, 1)])
@pytest.mark.parametrize('height, width', [(6, 8), (5, 7)])
def test_conv_pads_alike_on_all_sides(size, stride, groups, height, width):
  x = np.random.default_rng(0).normal(size=(2, height, width, 4)).astype(np.float32)
  layer = Conv(6, size, stride, groups, use_bias=False)
  with jax.default_matmul_precision('highest'):
    y, variables = layer.init_with_output(jax.random.key(0), x)
  expected = [naive_conv(image, np.asarray(variables['params']['kernel']), stride, groups) for image in x]
  np.testing.assert_allclose(y, expected, atol=1e-5)


def test_conv_holds_float32_parameters_and_computes_as_told():
  x = jnp.ones((1, 4, 4, 3))
  y, variables = Conv(2, 1, dtype=jnp.bfloat16).init_with_output(jax.random.key(0), x)
  assert y.dtype == jnp.bfloat16 and variables['params']['kernel'].dtype == jnp.float32
  y, _ = Conv(2, 1, dtype=jnp.bfloat16, output_dtype=jnp.float32).init_with_output(jax.random.key(0), x)
  assert y.dtype == jnp.float32


@pytest.mark.parametrize(
  'kind, collections',
  [
    ('frozen_bn', {'constants': {'scale', 'bias', 'mean', 'var'}}),
    ('bn_eval', {'params': {'scale', 'bias'}, 'constants': {'mean', 'var'}}),
    ('sync_bn', {'params': {'scale', 'bias'}, 'batch_stats': {'mean', 'var'}}),
    ('gn', {'params': {'scale', 'bias'}}),
  ],
)
def test_a_norm_keeps_its_arrays_in_the_right_collections(kind, collections):
  variables = norm(kind, train=True).init(jax.random.key(0), jnp.ones((2, 3, 3, 8)))
  assert {name: set(arrays) for name, arrays in variables.items()} == collections


@pytest.mark.parametrize('kind', ['frozen_bn', 'bn_eval', 'sync_bn'])
def test_stored_statistics_give_one_affine_map(kind):
  arrays = {'scale': 3.0, 'bias': 0.5, 'mean': 2.0, 'var': 4.0 - 1e-5}
  layer = norm(kind)
  shapes = layer.init(jax.random.key(0), jnp.ones((1, 1)))
  variables = {c: {name: jnp.array([arrays[name]]) for name in value} for c, value in shapes.items()}
  y = layer.apply(variables, jnp.array([[2.0], [6.0]]))
  np.testing.assert_allclose(y, [[0.5], [6.5]], rtol=1e-6)  # 3 (x - 2) / 2 + 0.5


def test_sync_bn_moves_towards_the_unbiased_variance():
  layer = norm('sync_bn', train=True)
  x = jnp.array([[1.0], [3.0]])  # mean 2, variance 1, unbiased 2
  variables = layer.init(jax.random.key(0), x)
  y, moved = layer.apply(variables, x, mutable=['batch_stats'])
  np.testing.assert_allclose(y, [[-1.0], [1.0]], rtol=1e-4)
  np.testing.assert_allclose(moved['batch_stats']['mean'], 0.9 * 0 + 0.1 * 2, rtol=1e-6)
  np.testing.assert_allclose(moved['batch_stats']['var'], 0.9 * 1 + 0.1 * 2, rtol=1e-6)


def test_group_norm_normalises_each_group_of_an_image():
  x = np.random.default_rng(0).normal(3.0, 2.0, size=(2, 5, 4, 64)).astype(np.float32)
  y, _ = norm('gn').init_with_output(jax.random.key(0), x)
  grouped = x.reshape(2, 20, 32, 2).astype(np.float64)
  expected = (grouped - grouped.mean((1, 3), keepdims=True)) / np.sqrt(grouped.var((1, 3), keepdims=True) + 1e-5)
  np.testing.assert_allclose(y, expected.reshape(x.shape), atol=2e-5)


@pytest.mark.parametrize(
  'channels, most, groups',
  [(2048, 32, 32), (64, 32, 32), (96, 32, 32), (48, 32, 24), (16, 32, 8), (7, 32, 1), (1, 32, 1), (576, 36, 36)],
)
def test_narrow_layers_have_fewer_groups(channels, most, groups):
  """Two values a group and pixel at least: a constant within its group becomes zero."""
  x = jnp.broadcast_to(jnp.repeat(jnp.arange(groups, dtype=jnp.float32), channels // groups), (1, 2, 2, channels))
  y, _ = GroupNorm(most).init_with_output(jax.random.key(0), x)
  np.testing.assert_allclose(y, 0, atol=1e-2)


def test_only_unnormalised_residual_branches_start_small():
  def scale(kind):
    variables = norm(kind, ends_branch=True).init(jax.random.key(0), jnp.ones((1, 2, 2, 4)))
    return next(float(value['scale'][0]) for value in variables.values() if 'scale' in value)

  assert scale('frozen_bn') == scale('bn_eval') == np.float32(RESIDUAL_SCALE)
  assert scale('sync_bn') == scale('gn') == 1


def test_an_unknown_norm_is_named():
  with pytest.raises(ValueError, match="'bn'.*frozen_bn, bn_eval, sync_bn, gn"):
    norm('bn')
