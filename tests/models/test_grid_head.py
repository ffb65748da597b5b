"""The grid head: neighbours, fusion as two convolutions each, and transposed convolutions against torch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models.layers.deconv import GroupedDeconv
from jaxdet.models.roi_heads.grid_head import Fusion, GridHead, neighbours

# Most of the time goes into compiling.
quick_jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


@pytest.fixture(autouse=True)
def exact_products():
  with jax.default_matmul_precision('highest'):
    yield


def random_like(tree):
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), tree)


@pytest.mark.parametrize('groups', [1, 3])
def test_a_deconvolution_is_torchs(groups):
  torch = pytest.importorskip('torch')
  x = np.random.default_rng(1).normal(size=(2, 3, 5, 6)).astype(np.float32)
  layer = GroupedDeconv(9, groups)
  params = random_like(jax.eval_shape(layer.init, jax.random.key(0), x)['params'])
  found = quick_jit(layer.apply)({'params': params}, x)
  weight = torch.tensor(np.asarray(params['kernel']).transpose(2, 3, 0, 1))
  maps = torch.tensor(x.transpose(0, 3, 1, 2))
  bias = torch.tensor(np.asarray(params['bias']))
  expected = torch.nn.functional.conv_transpose2d(maps, weight, bias, stride=2, padding=1, groups=groups)
  np.testing.assert_allclose(found, expected.numpy().transpose(0, 2, 3, 1), atol=1e-4)


def test_neighbours_are_beside_above_and_below():
  assert neighbours(2) == [[1, 2], [0, 3], [0, 3], [1, 2]]
  of_nine = neighbours(3)
  assert of_nine[0] == [1, 3] and of_nine[4] == [1, 3, 5, 7] and of_nine[5] == [2, 4, 8]
  assert sum(map(len, of_nine)) == 24


def test_a_transition_is_a_convolution_by_channels_and_then_a_pointwise_one():
  torch = pytest.importorskip('torch')
  x = np.random.default_rng(1).normal(size=(2, 4, 3, 8)).astype(np.float32)
  layer = Fusion(2, jnp.float32)
  params = random_like(jax.eval_shape(layer.init, jax.random.key(0), x)['params'])
  found = quick_jit(layer.apply)({'params': params}, x)
  maps, expected = torch.tensor(x.transpose(0, 3, 1, 2)), [0.0] * 4
  for i, sources in enumerate(neighbours(2)):
    for j, source in enumerate(sources):
      own = params[f'from{i}_{j}']
      weights = [torch.tensor(np.asarray(own[k]['kernel']).transpose(3, 2, 0, 1)) for k in ('depthwise', 'pointwise')]
      biases = [torch.tensor(np.asarray(own[k]['bias'])) for k in ('depthwise', 'pointwise')]
      y = torch.nn.functional.conv2d(maps[:, 2 * source : 2 * source + 2], weights[0], biases[0], padding=2, groups=2)
      expected[i] = expected[i] + torch.nn.functional.conv2d(y, weights[1], biases[1])
  np.testing.assert_allclose(found, torch.cat(expected, 1).numpy().transpose(0, 2, 3, 1), atol=1e-4)


def test_in_training_there_is_a_second_form_without_fusion():
  head = GridHead(num_convs=2, point_channels=2, grid_size=3, norm_groups=9)
  x = jax.random.normal(jax.random.key(0), (1, 2, 6, 6, 4))
  params = random_like(jax.eval_shape(head.init, jax.random.key(1), x)['params'])
  apply = quick_jit(head.apply)
  maps = apply({'params': params}, x)
  assert maps.shape == (1, 2, 1, 12, 12, 9) and maps.dtype == jnp.float32
  both = quick_jit(functools.partial(head.apply, train=True))({'params': params}, x)
  np.testing.assert_allclose(both[:, :, :1], maps, atol=1e-3)
  silent = params | jax.tree.map(jnp.zeros_like, {name: params[name] for name in ('first', 'second')})
  np.testing.assert_allclose(both[:, :, 1:], apply({'params': silent}, x), atol=1e-3)
  assert np.abs(both[:, :, 0] - both[:, :, 1]).max() > 1


def test_a_region_of_an_odd_side_is_refused():
  with pytest.raises(ValueError, match='roi_size must be even'):
    jax.eval_shape(GridHead(1, 2, 3, 9).init, jax.random.key(0), jnp.zeros((1, 1, 7, 7, 4)))
