"""Corner pooling (Law & Deng, 2018): every cell sees the largest value between itself and one side of the map.

A running maximum by an associative scan: log2(n) sweeps over the map along an axis of n cells. For the backward pass
one byte a value is kept, which says whether it was the maximum so far; the gradient of all cells that it was handed on
to is summed by a second scan, in float32, so that nothing is scattered.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# The corner's side by name: the axis that is gone along, and whether from its end to its beginning. The left side of an
# object lies to the right of what is left of it: a left corner looks to the right.
SIDES = {'top': (1, True), 'left': (2, True), 'bottom': (1, False), 'right': (2, False)}


def corner_pool(x: Float[Array, 'B H W C'], side: str) -> Float[Array, 'B H W C']:
  """The maximum from each cell on, as a corner at this side of an object sees the object.

  Differentiable once in reverse mode; of equal values the one nearest to the cell has the gradient.

  Args:
    x: a map.
    side: 'top' looks down, 'left' to the right, 'bottom' up, 'right' to the left.
  """
  return _running_max(x, *SIDES[side])


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _running_max(x, axis: int, reverse: bool):
  return lax.cummax(x, axis, reverse)


def _forward(x, axis: int, reverse: bool):
  largest = lax.cummax(x, axis, reverse)
  return largest, x == largest


def _backward(axis: int, reverse: bool, met, gradient):
  # A run is a place where a maximum was met and the cells that it was handed on to; seen from the end, the cell before
  # the next such place begins it.
  length = met.shape[axis]
  everywhere = jnp.ones_like(lax.slice_in_dim(met, 0, 1, axis=axis))
  if reverse:
    begins = jnp.concatenate([everywhere, lax.slice_in_dim(met, 0, length - 1, axis=axis)], axis)
  else:
    begins = jnp.concatenate([lax.slice_in_dim(met, 1, length, axis=axis), everywhere], axis)

  def joined(before, after):
    (begins_before, sum_before), (begins_after, sum_after) = before, after
    return begins_before | begins_after, sum_after + jnp.where(begins_after, 0, sum_before)

  wide = gradient.astype(jnp.promote_types(gradient.dtype, jnp.float32))
  _, sums = lax.associative_scan(joined, (begins, wide), reverse=not reverse, axis=axis)
  return (jnp.where(met, sums, 0).astype(gradient.dtype),)


_running_max.defvjp(_forward, _backward)
