"""Assigns the points of a pyramid to ground-truth boxes (FCOS, Tian et al., 2019).

For one image. A point is assigned to the smallest object that contains it and whose size its level is for. Objects are
taken in blocks, as in matcher.py, and blocks beyond the last object are skipped.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.assign.blocks import BLOCK, in_blocks
from jaxdet.ops import boxes as box_ops


class PointMatch(NamedTuple):
  """Assignment of N points to ground-truth boxes."""

  index: Int[Array, 'N']  # row of the ground-truth box; 0 if not positive
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
  """Assigns each point to an object or none; without gradient.

  Detectron2 rounds areas to 8 square pixels, so that the first of two objects of about the same area wins; here the
  smaller one wins.

  Args:
    points: (x, y) in pixels.
    strides: stride of each point's level, in pixels.
    ranges: (least, largest) distance in pixels from a point to the furthest side of its object, for its level.
    targets: ground-truth boxes in pixels.
    targets_valid: False for padding.
    radius: largest distance to the object's centre along each axis, in strides; 0: anywhere in the object.
    range_ends: True: ranges include their ends (mmdetection); False: they do not (Detectron2).
  """
  targets, valid, used = in_blocks(targets, targets_valid)
  x, y = points[:, 0], points[:, 1]

  def areas(some: Float[Array, 'T 4'], some_valid: Bool[Array, 'T']) -> Float[Array, 'T N']:
    """Areas of the objects, infinite where a point cannot be assigned to them."""
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
