"""Assigns anchors or proposals to ground-truth boxes by IoU (Girshick, 2015; Ren et al., 2015).

For one image. Upstream fills a matrix of all IoUs: 300 MB an image with 260 000 anchors and 300 objects. Here objects
are taken in blocks, and blocks beyond the last object are skipped.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.assign.blocks import BLOCK, in_blocks
from jaxdet.ops.iou import pairwise_iof, pairwise_iou

LOW_QUALITY = ('best_iou', 'gt_claims', 'gt_claims_first', 'off')


class Match(NamedTuple):
  """Assignment of N boxes to ground-truth boxes."""

  index: Int[Array, 'N']  # row of the ground-truth box; where the label is not 1, of the best IoU, or 0
  label: Int[Array, 'N']  # 1 positive, 0 negative, -1 ignored
  iou: Float[Array, 'N']  # best IoU with any object; -1 for boxes that take no part


def match(
  boxes: Float[Array, 'N 4'],
  targets: Float[Array, 'M 4'],
  targets_valid: Bool[Array, 'M'],
  *,
  negative_iou: float | tuple[float, float],
  positive_iou: float,
  low_quality_matches: str,
  low_quality_min_iou: float = 0.0,
  valid_boxes: Bool[Array, 'N'] | None = None,
  ignored: Float[Array, 'K 4'] | None = None,
  ignored_valid: Bool[Array, 'K'] | None = None,
  ignored_iof: float = 0.5,
) -> Match:
  """Labels boxes by their best IoU with any object; without gradient.

  Equals Detectron2's Matcher and mmdetection's MaxIoUAssigner. In an image without objects all boxes that take part
  are negative.

  Args:
    boxes: anchors or proposals, in pixels.
    targets: ground-truth boxes in pixels.
    targets_valid: False for padding.
    negative_iou: below this a box is negative; as a pair, from the first to below the second.
    positive_iou: from this on it is positive. Between the two it is ignored.
    low_quality_matches: rule for an object's best boxes, all with exactly its highest IoU, however low that is.
      'best_iou': they become positive, each for the object with which its own IoU is highest (Detectron2).
      'gt_claims': they become positive for this object; if several objects claim a box, the last one gets it
      (mmdetection). 'gt_claims_first': as 'gt_claims', but only the first of the best boxes (mmdetection's
      `gt_max_assign_all=False`). 'off': no rule.
    low_quality_min_iou: `low_quality_matches` applies to objects whose best IoU is at least this. At 0, as upstream,
      an object that overlaps no box claims all boxes with IoU 0.
    valid_boxes: boxes that take part. The others get label -1 and are no object's best box.
    ignored: areas in which boxes take no part, such as crowds.
    ignored_valid: False for padding of `ignored`; required with it.
    ignored_iof: a box takes no part if more than this share of it lies in an ignored area.
  """
  _check(low_quality_matches)
  boxes, targets = lax.stop_gradient((jnp.asarray(boxes), targets))
  takes_part = jnp.ones(boxes.shape[0], bool) if valid_boxes is None else valid_boxes
  considered = takes_part
  if ignored is not None:
    considered &= ~_in_ignored(boxes, lax.stop_gradient(ignored), ignored_valid, ignored_iof)

  targets, valid, used = in_blocks(targets, targets_valid)

  def compare(start) -> Float[Array, 'T N']:
    some, some_valid = (lax.dynamic_slice_in_dim(x, start, BLOCK) for x in (targets, valid))
    return jnp.where(some_valid[:, None] & considered, pairwise_iou(some, boxes), -1.0)

  def step(state):
    # IoUs are part of the state, so that they are computed once: compiled separately into both uses they may round
    # differently, and no box would equal the best.
    start, overlaps, best = state
    return (
      start + BLOCK,
      compare(start + BLOCK),
      _update(best, overlaps, start, low_quality_matches, low_quality_min_iou),
    )

  start = 0, compare(0), _Best.none(considered)
  _, _, best = lax.while_loop(lambda state: state[0] < used, step, start)
  return _label(best, low_quality_matches, takes_part, targets_valid.any(), negative_iou, positive_iou)


def match_quality(
  quality: Float[Array, 'M N'],
  targets_valid: Bool[Array, 'M'],
  *,
  negative_iou: float | tuple[float, float],
  positive_iou: float,
  low_quality_matches: str,
  low_quality_min_iou: float = 0.0,
) -> Match:
  """Labels boxes as `match` does, by any non-negative measure of M objects with N boxes."""
  _check(low_quality_matches)
  everything = jnp.ones(quality.shape[1], bool)
  # Computed once, as in `match`.
  quality = lax.optimization_barrier(jnp.where(targets_valid[:, None], lax.stop_gradient(quality), -1.0))
  best = _update(_Best.none(everything), quality, 0, low_quality_matches, low_quality_min_iou)
  return _label(best, low_quality_matches, everything, targets_valid.any(), negative_iou, positive_iou)


class _Best(NamedTuple):
  """Running best match of N boxes over the objects seen so far."""

  iou: Float[Array, 'N']  # highest IoU of a box
  index: Int[Array, 'N']  # object with this IoU, the first if several
  claimed: Int[Array, 'N']  # last object that has this box among its best, or -1

  @classmethod
  def none(cls, considered: Bool[Array, 'N']) -> '_Best':
    count = considered.shape[0]
    iou = jnp.where(considered, 0.0, -1.0)
    return cls(iou, jnp.zeros(count, jnp.int32), jnp.full(count, -1, jnp.int32))


def _update(best: _Best, overlaps: Float[Array, 'T N'], start, low_quality_matches: str, min_iou: float) -> _Best:
  """Takes T more objects into account; the first has index `start`."""
  count, num_boxes = overlaps.shape
  if count == 0:
    return best
  objects = (start + jnp.arange(count, dtype=jnp.int32))[:, None]
  iou = overlaps.max(0)
  # The first maximum by a second reduction: argmax does not vectorise on a CPU.
  index = jnp.min(jnp.where(overlaps == iou, objects, start + count), axis=0)
  better = iou > best.iou
  claimed = best.claimed
  if low_quality_matches != 'off':
    top = overlaps.max(1, keepdims=True)
    is_top = overlaps == top
    if low_quality_matches == 'gt_claims_first':
      position = jnp.arange(num_boxes)
      is_top &= position == jnp.min(jnp.where(is_top, position, num_boxes), axis=1, keepdims=True)
    claims = jnp.where(is_top & (top >= min_iou), objects, -1)
    claimed = jnp.maximum(claimed, claims.max(0))
  return _Best(jnp.where(better, iou, best.iou), jnp.where(better, index, best.index), claimed)


def _label(best: _Best, low_quality_matches: str, takes_part, any_object, negative_iou, positive_iou) -> Match:
  least, below = negative_iou if isinstance(negative_iou, tuple | list) else (0.0, negative_iou)
  label = jnp.where((best.iou >= least) & (best.iou < below), 0, -1)
  label = jnp.where((best.iou >= positive_iou) | (best.claimed >= 0), 1, label)
  label = jnp.where(any_object, label, jnp.where(takes_part, 0, -1))
  index = best.index if low_quality_matches == 'best_iou' else jnp.where(best.claimed >= 0, best.claimed, best.index)
  return Match(index, label, best.iou)


def _in_ignored(boxes, ignored, ignored_valid, ignored_iof: float) -> Bool[Array, 'N']:
  def step(share, region):
    box, valid = region
    return jnp.maximum(share, jnp.where(valid, pairwise_iof(boxes, box[None])[:, 0], 0.0)), None

  share, _ = lax.scan(step, jnp.zeros(boxes.shape[0]), (ignored, ignored_valid))
  return share > ignored_iof


def _check(low_quality_matches: str) -> None:
  if low_quality_matches not in LOW_QUALITY:
    raise ValueError(
      f"unknown low_quality_matches '{low_quality_matches}' of a matcher: choose one of {', '.join(LOW_QUALITY)}"
    )
