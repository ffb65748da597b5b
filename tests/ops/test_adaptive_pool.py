"""Adaptive max pooling against torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.ops.adaptive_pool import adaptive_max_pool

# Twice the size, sizes that do not divide, one pixel, and no change.
SIZES = [((12, 8), (6, 4)), ((50, 84), (13, 21)), ((7, 11), (4, 9)), ((5, 6), (1, 1)), ((5, 6), (5, 6))]


@pytest.mark.parametrize('large, small', SIZES)
def test_maxima_and_their_gradients_are_torchs(large, small):
  torch = pytest.importorskip('torch')
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *large, 3)).astype(np.float32)
  weights = rng.normal(size=(2, *small, 3)).astype(np.float32)
  maps = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
  expected = torch.nn.functional.adaptive_max_pool2d(maps, small)
  (expected * torch.tensor(weights.transpose(0, 3, 1, 2))).sum().backward()
  np.testing.assert_array_equal(adaptive_max_pool(x, small), expected.detach().numpy().transpose(0, 2, 3, 1))
  gradient = jax.grad(lambda x: (adaptive_max_pool(x, small) * weights).sum())(jnp.asarray(x))
  np.testing.assert_allclose(gradient, maps.grad.numpy().transpose(0, 2, 3, 1), atol=1e-6)


def test_of_equal_maxima_the_first_gets_the_gradient():
  gradient = jax.grad(lambda x: adaptive_max_pool(x, (1, 1)).sum())(jnp.float32([[1, 2], [2, 0]])[None, ..., None])
  assert gradient[0, ..., 0].tolist() == [[0, 1], [0, 0]]
