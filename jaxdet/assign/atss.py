"""Adaptive training sample selection (ATSS, Zhang et al., 2020): every object sets its own overlap threshold.

For one image. Of every level the anchors whose centres are nearest to an object's are its candidates; those are
positive that overlap it by at least the mean plus the deviation of its candidates' overlaps. Upstream fills matrices of
all anchors and all objects. Here objects are taken in blocks, as in matcher.py, and only their candidates are kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.assign.blocks import BLOCK, in_blocks
from jaxdet.ops import boxes as box_ops
from jaxdet.ops.iou import iou

INSIDE = 0.01  # pixels by which a positive anchor's centre must lie within its object


class AtssMatch(NamedTuple):
  """What was found for N anchors."""

  index: Int[Array, 'N']  # the object's row; 0 where there is none
  positive: Bool[Array, 'N']


def match_atss(
  anchors: Float[Array, 'N 4'],
  level_sizes: Sequence[int],
  targets: Float[Array, 'M 4'],
  targets_valid: Bool[Array, 'M'],
  *,
  valid_anchors: Bool[Array, 'N'],
  num_nearest: int,
) -> AtssMatch:
  """Gives every anchor an object or none, as mmdetection's ATSSAssigner; without gradient.

  An anchor that is positive for several objects goes to the one that it overlaps most, of equals to the first.

  Args:
    anchors: in pixels, level after level.
    level_sizes: how many anchors each level has.
    targets: objects.
    targets_valid: rows of `targets` that hold one.
    valid_anchors: those that take part.
    num_nearest: candidates of an object on every level; 9 in the paper.
  """
  anchors, targets = lax.stop_gradient((jnp.asarray(anchors), targets))
  count = anchors.shape[0]
  targets, valid, used = in_blocks(targets, targets_valid)
  centres = box_ops.centres(anchors)

  def nearest(target: Float[Array, '4']) -> tuple[Int[Array, 'C'], Bool[Array, 'C']]:
    """The candidates of an object, and which of them there are."""
    distance = jnp.sqrt(((centres - box_ops.centres(target)) ** 2).sum(-1))
    distance = jnp.where(valid_anchors, distance, jnp.inf)
    rows, found, start = [], [], 0
    for size in level_sizes:
      closest, index = lax.top_k(-distance[start : start + size], min(num_nearest, size))
      rows.append(start + index)
      found.append(jnp.isfinite(closest))
      start += size
    return jnp.concatenate(rows), jnp.concatenate(found)

  def choose(target: Float[Array, '4'], target_valid: Bool[Array, '']):
    """The candidates of an object and their overlaps, -1 where they are not positive."""
    rows, found = nearest(target)
    overlap = iou(anchors[rows], target)
    number = jnp.maximum(found.sum(), 1)
    mean = jnp.where(found, overlap, 0.0).sum() / number
    variance = jnp.where(found, (overlap - mean) ** 2, 0.0).sum() / jnp.maximum(number - 1, 1)
    x, y = centres[rows].T
    inside = jnp.minimum(jnp.minimum(x - target[0], y - target[1]), jnp.minimum(target[2] - x, target[3] - y)) > INSIDE
    positive = target_valid & found & inside & (overlap >= mean + jnp.sqrt(variance))
    return rows, jnp.where(positive, overlap, -1.0)

  def step(state):
    start, best, index = state
    some, some_valid = (lax.dynamic_slice_in_dim(x, start, BLOCK) for x in (targets, valid))
    # Computed once: compiled into both its uses, no overlap would be exactly as good as the best.
    rows, overlap = lax.optimization_barrier(jax.vmap(choose)(some, some_valid))
    objects = jnp.broadcast_to(start + jnp.arange(BLOCK)[:, None], rows.shape)
    better = jnp.full(count, -1.0, overlap.dtype).at[rows].max(overlap)
    # Of the objects that overlap a row as much as its best one, the first.
    is_best = (overlap >= 0) & (overlap == better[rows])
    first = jnp.full(count, start + BLOCK).at[jnp.where(is_best, rows, count)].min(objects, mode='drop')
    return start + BLOCK, jnp.maximum(best, better), jnp.where(better > best, first, index)

  start = 0, jnp.full(count, -1.0, anchors.dtype), jnp.zeros(count, jnp.int32)
  _, best, index = lax.while_loop(lambda state: state[0] < used, step, start)
  return AtssMatch(index, best >= 0)
