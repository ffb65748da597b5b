"""The balanced feature pyramid: the mean of all levels, its refinement, and its way back to the levels."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models.layers.non_local import NonLocal
from jaxdet.models.layers.upsample import resize_nearest
from jaxdet.models.necks.balanced import BalancedPyramid, balanced_fpn


class Unchanged(nn.Module):
  """A pyramid that is given."""

  def __call__(self, features, *, train=False):
    return features


def random_pyramid(channels=1):
  sizes = {2: (12, 20), 3: (6, 10), 4: (3, 5), 5: (2, 3)}
  rng = np.random.default_rng(0)
  return {level: jnp.asarray(rng.normal(size=(2, *size, channels)), jnp.float32) for level, size in sizes.items()}


def torch_maps(x):
  torch = pytest.importorskip('torch')
  return torch.tensor(np.asarray(x).transpose(0, 3, 1, 2))


def test_every_level_gets_the_mean_of_all_levels():
  torch = pytest.importorskip('torch')
  pyramid = random_pyramid()
  balanced, _ = BalancedPyramid(Unchanged(), refine_level=4).init_with_output(jax.random.key(0), pyramid)
  maps = {level: torch_maps(x) for level, x in pyramid.items()}
  pool, resize = torch.nn.functional.adaptive_max_pool2d, torch.nn.functional.interpolate
  mean = (pool(maps[2], (3, 5)) + pool(maps[3], (3, 5)) + maps[4] + resize(maps[5], size=(3, 5))) / 4
  for level, x in maps.items():
    size = x.shape[2:]
    # The refinement begins as the identity.
    expected = x + (resize(mean, size=size) if level < 4 else pool(mean, size))
    np.testing.assert_allclose(balanced[level], expected.numpy().transpose(0, 2, 3, 1), atol=1e-5)


def test_a_non_local_block_mixes_all_pixels():
  x = random_pyramid(channels=4)[3]
  block = NonLocal()
  params = jax.eval_shape(block.init, jax.random.key(0), x)['params']
  rng = np.random.default_rng(1)
  params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), params)
  pixels = np.asarray(x, np.float64).reshape(2, 60, 4)

  def layer(name, pixels):
    return pixels @ np.asarray(params[name]['kernel'], np.float64)[0, 0] + np.asarray(params[name]['bias'])

  products = layer('theta', pixels) @ layer('phi', pixels).transpose(0, 2, 1)
  weights = np.exp(products - products.max(-1, keepdims=True))
  weights /= weights.sum(-1, keepdims=True)
  expected = pixels + layer('output', weights @ layer('g', pixels))
  with jax.default_matmul_precision('highest'):
    found = block.apply({'params': params}, x)
  np.testing.assert_allclose(found, expected.reshape(x.shape), atol=1e-4)


# Twice and four times the size, sizes that do not divide, one for which float32 is a pixel off, and no change.
SIZES = [((3, 5), (6, 20)), ((13, 21), (50, 84)), ((41, 2), (82, 82)), ((3, 5), (3, 5))]


@pytest.mark.parametrize('small, large', SIZES)
def test_maps_are_enlarged_as_in_torch(small, large):
  torch = pytest.importorskip('torch')
  x = np.random.default_rng(0).random((2, *small, 3), np.float32)
  expected = torch.nn.functional.interpolate(torch_maps(x), large, mode='nearest')
  np.testing.assert_array_equal(resize_nearest(x, large), expected.numpy().transpose(0, 2, 3, 1))


def test_a_level_that_the_pyramid_does_not_have_is_refused():
  neck = balanced_fpn(refine_level=7, dtype=jnp.float32, levels=(4, 5), channels=2)
  features = {4: jnp.zeros((1, 4, 4, 1)), 5: jnp.zeros((1, 2, 2, 1))}
  with pytest.raises(ValueError, match=r'neck.refine_level is 7, but the pyramid has levels \[4, 5\]'):
    jax.eval_shape(neck.init, jax.random.key(0), features)
