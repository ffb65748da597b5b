"""Blocks of rows that hold nothing are left out."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdet.ops.occupied_rows import BLOCK, map_occupied

ROWS = 2 * BLOCK + 7  # three blocks of 24, the last one padded


def rows(images=2):
  return np.random.default_rng(0).normal(size=(images, ROWS, 4)).astype(np.float32)


def test_occupied_rows_are_those_of_the_function_applied_to_all():
  x, labels = rows(), np.arange(2 * ROWS).reshape(2, ROWS)
  occupied = np.ones((2, ROWS), bool)
  made = map_occupied(lambda x, labels: x[..., :2] * labels[..., None], occupied, x, labels)
  np.testing.assert_allclose(made, x[..., :2] * labels[..., None], rtol=1e-6)


def test_a_block_without_an_occupied_row_is_not_computed():
  occupied = np.arange(ROWS) < np.array([[3], [30]])  # the first of three blocks; the first two
  made = np.asarray(map_occupied(lambda x: x * jnp.nan, occupied, rows()))
  assert np.isnan(made[0, :24]).all() and (made[0, 24:] == 0).all()
  assert np.isnan(made[1, :48]).all() and (made[1, 48:] == 0).all()


def test_gradients_flow_through_occupied_blocks_alone():
  x, occupied = rows(1), np.arange(ROWS)[None] < 30

  def total(weight, x):
    return map_occupied(lambda x: jnp.tanh(x * weight), occupied, x).sum()

  def expected(weight, x):
    return jnp.tanh(x[:, :48] * weight).sum()

  weight = np.float32([0.5, 1.0, -1.0, 2.0])
  found, wanted = (jax.jit(jax.grad(f, argnums=(0, 1)))(weight, x) for f in (total, expected))
  np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)
  np.testing.assert_allclose(found[1], wanted[1], rtol=1e-5)


def test_a_gpu_computes_all_rows_at_once_and_others_go_over_blocks():
  def lowered(platform):
    traced = jax.jit(lambda occupied, x: map_occupied(jnp.tanh, occupied, x)).trace(np.ones((2, ROWS), bool), rows())
    return traced.lower(lowering_platforms=(platform,)).as_text()

  assert 'while' not in lowered('cuda')
  assert 'while' in lowered('cpu') and 'while' in lowered('tpu')
