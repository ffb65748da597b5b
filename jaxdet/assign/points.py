"""Which object each point of a pyramid is to find (FCOS, Tian et al., 2019).

For one image. A point is for the smallest object that it lies in, of those whose size is its level's. Objects are taken
in blocks, as in matcher.py, and blocks beyond the last object are skipped.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.assign.blocks import BLOCK, in_blocks
from jaxdet.ops import boxes as box_ops


class PointMatch(NamedTuple):
  """What was found for N points."""

  index: Int[Array, 'N']  # the object's row; 0 where there is none
  positive: Bool[Array, 'N']


def match_points(
  points: Float[Array, 'N 2'],
  strides: Float[Array, 'N'],
  ranges: Float[Array, 'N 2'],
  targets: Float[Array, 'M 4'],
  targets_valid: Bool[Array, 'M'],
  *,
  radius: float,
  range_ends: bool,
) -> PointMatch:
  """Gives every point an object or none; without gradient.

  Detectron2's areas are rounded to 8 square pixels, so that of two objects of about the same area the first wins; here
  it is the smaller one.

  Args:
    points: (x, y) in pixels.
    strides: of the points' levels.
    ranges: the least and the largest distance, to the furthest side of its object, that a point's level is for.
    targets: objects.
    targets_valid: rows of `targets` that hold one.
    radius: a point is at most so many strides from its object's centre along each axis; 0: anywhere in the object.
    range_ends: whether the two ends belong to a range (mmdetection) or not (Detectron2).
  """
  targets, valid, used = in_blocks(targets, targets_valid)
  x, y = points[:, 0], points[:, 1]

  def areas(some: Float[Array, 'T 4'], some_valid: Bool[Array, 'T']) -> Float[Array, 'T N']:
    """Areas of the objects, infinite where a point is not for them."""
    x1, y1, x2, y2 = (side[:, None] for side in some.T)
    left, top, right, bottom = x - x1, y - y1, x2 - x, y2 - y
    nearest = jnp.minimum(jnp.minimum(left, top), jnp.minimum(right, bottom))
    furthest = jnp.maximum(jnp.maximum(left, top), jnp.maximum(right, bottom))
    fits = some_valid[:, None] & (nearest > 0)
    if range_ends:
      fits &= (furthest >= ranges[:, 0]) & (furthest <= ranges[:, 1])
    else:
      fits &= (furthest > ranges[:, 0]) & (furthest < ranges[:, 1])
    if radius:
      off_centre = jnp.maximum(jnp.abs(x - (x1 + x2) / 2), jnp.abs(y - (y1 + y2) / 2))
      fits &= off_centre < radius * strides
    return jnp.where(fits, box_ops.area(some)[:, None], jnp.inf)

  def step(state):
    start, best, index = state
    some = areas(*(lax.dynamic_slice_in_dim(x, start, BLOCK) for x in (targets, valid)))
    least = some.min(0)
    first = jnp.min(jnp.where(some == least, start + jnp.arange(BLOCK)[:, None], start + BLOCK), axis=0)
    return start + BLOCK, jnp.minimum(best, least), jnp.where(least < best, first, index)

  start = 0, jnp.full(points.shape[0], jnp.inf), jnp.zeros(points.shape[0], jnp.int32)
  _, best, index = lax.while_loop(lambda state: state[0] < used, step, start)
  return PointMatch(index, jnp.isfinite(best))
