"""Corner pooling (Law & Deng, 2018): every cell gets the largest value between itself and one side of the map.

A running maximum by an associative scan: log2(n) sweeps over the map along an axis of n cells. The backward pass needs
one byte per value: whether it is the running maximum at its cell. A second scan, in float32, sums the gradient of all
cells with the same maximum, so there is no scatter.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# Axis of the scan, and whether it is reversed, by side of the corner. An object lies to the right of its left corner,
# so 'left' takes the maximum over cells to the right.
SIDES = {'top': (1, True), 'left': (2, True), 'bottom': (1, False), 'right': (2, False)}


def corner_pool(x: Float[Array, 'B H W C'], side: str) -> Float[Array, 'B H W C']:
  """Maximum of each cell and all cells towards the object, for corners at this side of objects.

  Differentiable once in reverse mode; of equal values, the one nearest to the cell gets the gradient.

  Args:
    x: feature map.
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
  # A run is a cell with a new maximum and the following cells with the same maximum. The scan goes backwards, so a run
  # begins at the cell before the next new maximum.
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
