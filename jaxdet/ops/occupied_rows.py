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
  """`function(*rows)` for all blocks of an image's rows of which one is occupied; zeros for the others.

  Where RoIs are padded to a fixed number, most rows are padding: 20 to 60 of 128 are positive in training. The blocks
  are computed one after the other, so that those left out take no time, forward or backward. A GPU computes all rows at
  once: it fills itself with them, and would wait for the host at every block (docs/benchmarks.md has the difference).

  Args:
    function: of some rows of one image, [1, N, ...], or of all, [B, R, ...]; each row on its own.
    occupied: rows that matter. They should come first, or little is left out.
    rows: arrays [B, R, ...].
  """

  def by_blocks(occupied, *rows):
    return map_blocks(function, occupied, *rows)

  def all_rows(occupied, *rows):
    del occupied
    return function(*rows)

  # Decided where the program is compiled, not traced.
  return lax.platform_dependent(occupied, *rows, cpu=by_blocks, tpu=by_blocks, default=all_rows)


def map_blocks(
  function: Callable[..., Float[Array, '1 N ...']], occupied: Bool[Array, 'B R'], *rows: Array
) -> Float[Array, 'B R ...']:
  """The form of `map_occupied` that leaves out blocks."""
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
