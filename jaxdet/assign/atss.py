"""Adaptive training sample selection (ATSS, Zhang et al., 2020): each ground-truth box has its own IoU threshold.

For one image. An object's candidates are, on every level, the anchors whose centres are nearest to its own. Candidates
are positive if their IoU is at least the mean plus the standard deviation of all its candidates' IoUs. Upstream fills
matrices of all anchors and all objects. Here objects are taken in blocks, as in matcher.py, and only their candidates
are kept.
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

INSIDE = 0.01  # least distance in pixels from a positive anchor's centre to the sides of its object


class AtssMatch(NamedTuple):
  """Assignment of N anchors to ground-truth boxes."""

  index: Int[Array, 'N']  # row of the ground-truth box; 0 if not positive
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
  """Assigns each anchor to an object or none, as mmdetection's ATSSAssigner; without gradient.

  An anchor that is positive for several objects is assigned to the one with the highest IoU, the first if equal.

  Args:
    anchors: in pixels, level after level.
    level_sizes: number of anchors of each level.
    targets: ground-truth boxes in pixels.
    targets_valid: False for padding.
    valid_anchors: anchors that take part.
    num_nearest: candidates per object and level; 9 in the paper.
  """
  anchors, targets = lax.stop_gradient((jnp.asarray(anchors), targets))
  count = anchors.shape[0]
  targets, valid, used = in_blocks(targets, targets_valid)
  centres = box_ops.centres(anchors)

  def nearest(target: Float[Array, '4']) -> tuple[Int[Array, 'C'], Bool[Array, 'C']]:
    """Candidate anchors of an object, and True for those that exist."""
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
    """Candidate anchors of an object and their IoUs, -1 if not positive."""
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
    # The barrier computes IoUs once: compiled separately into both uses, they would not compare equal.
    rows, overlap = lax.optimization_barrier(jax.vmap(choose)(some, some_valid))
    objects = jnp.broadcast_to(start + jnp.arange(BLOCK)[:, None], rows.shape)
    better = jnp.full(count, -1.0, overlap.dtype).at[rows].max(overlap)
    # The first of the objects with an anchor's highest IoU.
    is_best = (overlap >= 0) & (overlap == better[rows])
    first = jnp.full(count, start + BLOCK).at[jnp.where(is_best, rows, count)].min(objects, mode='drop')
    return start + BLOCK, jnp.maximum(best, better), jnp.where(better > best, first, index)

  start = 0, jnp.full(count, -1.0, anchors.dtype), jnp.zeros(count, jnp.int32)
  _, best, index = lax.while_loop(lambda state: state[0] < used, step, start)
  return AtssMatch(index, best >= 0)
