"""How operations are counted."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxdet.flops import matrix_flops
from jaxdet.ops.conv import conv2d
from jaxdet.ops.roi_align import multilevel_roi_align

A, B = jnp.zeros((3, 4)), jnp.zeros((4, 5))
PRODUCT = 2 * 3 * 4 * 5


def test_a_product_is_a_multiplication_and_an_addition_for_each_pair():
  assert matrix_flops(jnp.matmul, A, B) == PRODUCT
  assert matrix_flops(jax.jit(jnp.matmul), A, B) == PRODUCT
  assert matrix_flops(jax.vmap(jnp.matmul, (0, None)), jnp.zeros((7, 3, 4)), B) == 7 * PRODUCT
  assert matrix_flops(jax.grad(lambda a, b: (a @ b).sum(), argnums=(0, 1)), A, B) == 3 * PRODUCT


def test_convolutions_by_stride_and_groups():
  x, kernel = jnp.zeros((1, 8, 8, 4)), jnp.zeros((3, 3, 4, 6))
  assert matrix_flops(conv2d, x, kernel) == 2 * 64 * 6 * 36
  assert matrix_flops(lambda x, k: conv2d(x, k, stride=2), x, kernel) == 2 * 16 * 6 * 36
  assert matrix_flops(lambda x, k: conv2d(x, k, groups=2), x, kernel[:, :, :2]) == 2 * 64 * 6 * 18


def test_the_gradient_of_a_strided_convolution_costs_what_the_convolution_does():
  x, kernel = jnp.zeros((1, 8, 8, 4)), jnp.zeros((3, 3, 4, 6))
  both = jax.grad(lambda x, k: conv2d(x, k, stride=2).sum(), argnums=(0, 1))
  assert matrix_flops(both, x, kernel) == 3 * 2 * 16 * 6 * 36


def test_loops_branches_and_platforms():
  assert matrix_flops(lambda a, b: lax.map(lambda _: a @ b, jnp.arange(5)), A, B) == 5 * PRODUCT
  twice = lambda a, b: (a @ b) @ b.T @ b  # noqa: E731
  assert matrix_flops(lambda a, b: lax.cond(a.sum() > 0, twice, jnp.matmul, a, b), A, B) == 3 * PRODUCT
  assert matrix_flops(lambda a, b: lax.platform_dependent(a, b, cpu=twice, default=jnp.matmul), A, B) == PRODUCT


def test_roi_align_is_not_counted():
  features, rois = {2: jnp.zeros((1, 8, 8, 4))}, jnp.zeros((1, 3, 4))
  pool = lambda f: multilevel_roi_align(f, rois, output_size=2)  # noqa: E731
  assert matrix_flops(pool, features) == 0
  assert matrix_flops(jax.grad(lambda f: (pool(f).reshape(-1, 4) @ B).sum()), features) == 2 * 2 * 12 * 4 * 5
