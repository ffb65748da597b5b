"""Convolutions: the forms that a CPU uses give what XLA's own give."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.ops import conv
from jaxdet.ops.conv import conv2d, pointwise

RNG = np.random.default_rng(0)


def xla(x, kernel, stride=1, dilation=1, groups=1):
  return conv._xla(x, kernel, conv.Geometry(stride, dilation, groups, None))


def arrays(shape, size, groups, features):
  x = RNG.normal(size=shape).astype(np.float32)
  return x, RNG.normal(size=(size, size, shape[-1] // groups, features)).astype(np.float32)


def gradients(function, x, kernel):
  y, pull = jax.vjp(function, x, kernel)
  return y, *pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))


@pytest.mark.parametrize(
  ('shape', 'size', 'options'),
  [
    ((2, 14, 14, 8), 3, {}),  # several images in a block
    ((1, 40, 33, 8), 3, {}),  # several rows in a block, and the last one not full
    ((1, 3, 700, 4), 3, {}),  # rows longer than a block
    ((3, 33, 20, 6), 3, {'stride': 2}),
    ((1, 64, 62, 3), 7, {'stride': 2}),
    ((2, 25, 31, 8), 3, {'dilation': 2}),
    ((2, 2, 9, 8), 4, {}),  # an even kernel, whose result is a pixel larger
    ((2, 9, 8, 8), 2, {'stride': 2}),
    ((2, 16, 18, 64), 3, {'groups': 4}),
    ((1, 33, 35, 96), 3, {'groups': 32, 'stride': 2}),  # groups that are merged
  ],
)
def test_gradients_are_those_of_the_plain_convolution(shape, size, options):
  x, kernel = arrays(shape, size, options.get('groups', 1), 96)
  expected = jax.jit(partial(gradients, partial(xla, **options)))(x, kernel)
  for one, other in zip(jax.jit(partial(gradients, partial(conv2d, **options)))(x, kernel), expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize('channels', [8, 48, 10_000])  # two groups to one, eight, all
def test_merged_groups_are_linear_in_both_arguments(channels):
  geometry = conv.Geometry(1, 1, 16, None)
  x, kernel = arrays((2, 9, 7, 64), 3, 16, 32)
  expected = gradients(partial(conv._xla, geometry=geometry), x, kernel)
  found = gradients(partial(conv._merged, geometry=geometry, channels=channels), x, kernel)
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


def test_a_pointwise_convolution_has_the_gradients_of_the_product():
  x, kernel = RNG.normal(size=(2, 30, 21, 12)).astype(np.float32), RNG.normal(size=(12, 5)).astype(np.float32)
  expected = gradients(jnp.matmul, x, kernel)
  for one, other in zip(gradients(partial(pointwise, dtype=jnp.float32), x, kernel), expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_gradients_of_bfloat16_are_summed_in_float32():
  x = jnp.ones((1, 64, 64, 1), jnp.bfloat16)
  _, of_kernel = jax.vjp(conv2d, x, jnp.ones((1, 1, 1, 1), jnp.bfloat16))[1](jnp.ones((1, 64, 64, 1), jnp.bfloat16))
  assert of_kernel.dtype == jnp.bfloat16 and float(of_kernel[0, 0, 0, 0]) == 4096  # bfloat16 would stay at 256
  kernel = jnp.ones((1, 1), jnp.bfloat16)
  y, pull = jax.vjp(partial(pointwise, dtype=jnp.float32), x, kernel)
  assert y.dtype == jnp.float32
  of_x, of_kernel = pull(jnp.ones_like(y))
  assert of_x.dtype == jnp.bfloat16 and float(of_kernel[0, 0]) == 4096


def test_inside_of_a_loop_the_gradient_is_the_same():
  x, kernel = arrays((3, 9, 8, 4), 3, 1, 5)

  def total(kernel, each):
    return jax.lax.map(lambda image: (each(image[None], kernel) ** 2).sum(), x).sum()

  expected, found = (jax.grad(total)(kernel, each) for each in (xla, conv2d))
  np.testing.assert_allclose(found, expected, rtol=1e-4)
