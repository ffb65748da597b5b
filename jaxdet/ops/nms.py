"""Greedy non-maximum suppression with static shapes, for one image.

The result is that of the sequential algorithm: from the best score down, a box is kept unless its IoU with a kept box
of its group is above the threshold. Boxes are taken in blocks. First a block loses the boxes that kept boxes of earlier
blocks suppress. Then keep = alive and not suppressed by keep is iterated within the block. After k rounds the block's k
best boxes are final, so the iteration ends; in practice after a few rounds, since chains of boxes that suppress one
another are short.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.ops.iou import pairwise_iou

# Memory is N * BLOCK, and the blocks after the last one needed are never computed.
BLOCK = 256


def nms(
  boxes: Float[Array, 'N 4'],
  scores: Float[Array, 'N'],
  valid: Bool[Array, 'N'],
  iou_threshold: float,
  groups: Int[Array, 'N'] | None = None,
  limit: int | None = None,
) -> Bool[Array, 'N']:
  """True for the boxes that survive; without gradient.

  Args:
    boxes: in pixels.
    scores: the order; equal scores keep the order of the input.
    valid: boxes that take part; the others neither survive nor suppress.
    iou_threshold: a box is suppressed where the IoU is above this; at exactly this it survives.
    groups: boxes of different groups, such as classes, do not suppress each other.
    limit: the best `limit` survivors suffice; survivors after them may be False.
  """
  boxes, scores = lax.stop_gradient((boxes, scores))
  order, keep = _greedy(boxes, scores, valid, iou_threshold, groups, boxes.shape[0] if limit is None else limit)
  return jnp.zeros_like(keep).at[order].set(keep, unique_indices=True)


def nms_top_k(
  boxes: Float[Array, 'N 4'],
  scores: Float[Array, 'N'],
  valid: Bool[Array, 'N'],
  iou_threshold: float,
  k: int,
  groups: Int[Array, 'N'] | None = None,
) -> tuple[Int[Array, 'k'], Bool[Array, 'k']]:
  """The k best survivors of `nms` as (indices, valid), best first; padding is 0 and False."""
  boxes, scores = lax.stop_gradient((boxes, scores))
  order, keep = _greedy(boxes, scores, valid, iou_threshold, groups, k)
  (position,) = jnp.nonzero(keep, size=k, fill_value=0)
  found = jnp.arange(k) < keep.sum()
  return jnp.where(found, order[position], 0), found


def _greedy(boxes, scores, valid, iou_threshold, groups, enough: int) -> tuple[Int[Array, 'N'], Bool[Array, 'N']]:
  """(rows by descending score, valid ones first; True for kept rows, exact for the best `enough` kept)."""
  count = boxes.shape[0]
  block = min(BLOCK, count)
  groups = jnp.zeros(count, jnp.int32) if groups is None else groups
  # Two keys, so that a valid box of score -inf still comes before invalid ones.
  _, _, order = lax.sort((~valid, -scores, jnp.arange(count)), num_keys=2, is_stable=True)
  padding = -count % block
  boxes, groups, valid = (jnp.pad(x[order], [(0, padding)] + [(0, 0)] * (x.ndim - 1)) for x in (boxes, groups, valid))
  everything = _Rows(boxes, groups, valid, jnp.arange(count + padding))
  num_valid = valid.sum()
  suppresses = functools.partial(_suppresses, iou_threshold=iou_threshold)

  def cut(start) -> _Rows:
    return jax.tree.map(lambda x: lax.dynamic_slice_in_dim(x, start, block), everything)

  def unfinished(state):
    start, _, keep = state
    return (start < num_valid) & (keep.sum() < enough)

  def step(state):
    # The block is part of the state: sliced within the step, XLA would fuse the slices into the comparison of
    # all pairs, which is several times slower on a CPU.
    start, rows, keep = state
    alive = rows.valid & ~(suppresses(everything, rows) & keep[:, None]).any(0)
    keep = lax.dynamic_update_slice_in_dim(keep, _fix_point(alive, suppresses(rows, rows)), start, 0)
    return start + block, cut(start + block), keep

  _, _, keep = lax.while_loop(unfinished, step, (0, cut(0), jnp.zeros(count + padding, bool)))
  return order, keep[:count]


class _Rows(NamedTuple):
  boxes: Float[Array, 'T 4']
  groups: Int[Array, 'T']
  valid: Bool[Array, 'T']
  position: Int[Array, 'T']  # in the order by score


def _suppresses(better: _Rows, rows: _Rows, iou_threshold: float) -> Bool[Array, 'N T']:
  """True where one of `better`, if kept, suppresses one of `rows`."""
  overlap = pairwise_iou(better.boxes, rows.boxes) > iou_threshold
  same_group = better.groups[:, None] == rows.groups
  return overlap & same_group & (better.position[:, None] < rows.position)


def _fix_point(alive: Bool[Array, 'T'], suppresses: Bool[Array, 'T T']) -> Bool[Array, 'T']:
  """Iterates keep = alive & not suppressed by keep until it does not change."""

  def changed(state):
    before, now = state
    return (before != now).any()

  def step(state):
    _, now = state
    return now, alive & ~(suppresses & now[:, None]).any(0)

  return lax.while_loop(changed, step, step((alive, alive)))[1]
