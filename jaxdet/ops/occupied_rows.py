"""Leaves out the padding rows of a padded array, in blocks, with fixed shapes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

BLOCK = 32  # rows, at most: enough to fill a matrix unit, few enough to be left out often


def map_occupied(
  function: Callable[..., Float[Array, 'b N ...']], occupied: Bool[Array, 'B R'], *rows: Array
) -> Float[Array, 'B R ...']:
  """Computes `function(*rows)` for the blocks of rows with at least one occupied row; zeros for the others.

  RoIs are padded to a fixed number, and most rows are padding: in training 20 to 60 of 128 are positive. The blocks
  are computed one after the other, so skipped blocks take no time, forward or backward. A GPU computes all rows at
  once: it needs them to be busy, and would wait for the host at every block (docs/benchmarks.md has the difference).

  Args:
    function: of some rows of one image, [1, N, ...], or of all, [B, R, ...]; computes each row independently.
    occupied: rows that are not padding. They should come first, or few blocks are skipped.
    rows: arrays [B, R, ...].
  """

  def by_blocks(occupied, *rows):
    return map_blocks(function, occupied, *rows)

  def all_rows(occupied, *rows):
    del occupied
    return function(*rows)

  # Chosen when the program is compiled, not when it is traced.
  return lax.platform_dependent(occupied, *rows, cpu=by_blocks, tpu=by_blocks, default=all_rows)


def map_blocks(
  function: Callable[..., Float[Array, '1 N ...']], occupied: Bool[Array, 'B R'], *rows: Array
) -> Float[Array, 'B R ...']:
  """Computes `map_occupied` block by block, and skips blocks of padding."""
  images, count = occupied.shape
  blocks = -(-count // BLOCK)
  size = -(-count // blocks)

  def in_blocks(x):
    x = jnp.pad(x, ((0, 0), (0, blocks * size - count), *((0, 0),) * (x.ndim - 2)))
    return x.reshape(images * blocks, 1, size, *x.shape[2:])

  def one_block(block):
    occupied, *rows = block
    made = jax.eval_shape(function, *rows)
    return lax.cond(occupied.any(), function, lambda *rows: jnp.zeros(made.shape, made.dtype), *rows)

  made = lax.map(one_block, tuple(in_blocks(x) for x in (occupied, *rows)))
  return made.reshape(images, blocks * size, *made.shape[3:])[:, :count]
