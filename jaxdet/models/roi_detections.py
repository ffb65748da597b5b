"""Selects the detections of a two-stage detector: the best (RoI, class) pairs after class-wise suppression."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.models.detections import make_detections
from jaxdet.ops import boxes
from jaxdet.ops.nms import nms_top_k
from jaxdet.ops.per_image import per_image
from jaxdet.ops.soft_nms import Softened, soft_nms
from jaxdet.structures import Detections, Proposals


@jax.named_scope('detections')
def detect(
  scores: Float[Array, 'B P K'],
  regression: Any,
  proposals: Proposals,
  image_size: Int[Array, 'B 2'],
  decode: Callable,
  test: FrozenConfigDict,
) -> Detections:
  """Selects the best pairs above the score threshold, suppressed within their class, without masks.

  Upstream decodes every box for every class and suppresses all pairs above the threshold. Here only the best
  `test.pre_nms_topk` pairs per image are decoded and suppressed. The detections are the same if these include every
  pair above the threshold, or if `test.detections` of them survive, in soft NMS with scores that no other pair reaches;
  `incomplete` marks images where neither holds. With `test.drop_empty_boxes` boxes without area are dropped from the
  survivors (Detectron2).

  Args:
    scores: of the last stage, or the mean over stages.
    regression: arrays [B, P, ...] that `decode` reads.
    proposals: RoIs of the last stage.
    image_size: (height, width) in pixels.
    decode: (regression, rows, labels, RoIs, image size) -> boxes [n, 4] of one image, see `StandardStage.decode`.
    test: `config.model.test`.
  """

  def one_image(scores, regression, rois, valid, size):
    eligible = valid[:, None] & jnp.isfinite(scores).all(-1, keepdims=True) & (scores > test.score_threshold)
    ranking = jnp.where(eligible, scores, -jnp.inf).reshape(-1)
    best, index = jax.lax.top_k(ranking, min(test.pre_nms_topk, ranking.shape[0]))
    rows, labels = jnp.divmod(index, scores.shape[1])
    decoded = decode(regression, rows, labels, rois, size)
    finite = jnp.isfinite(decoded).all(-1)
    decoded = jnp.where(finite[:, None], decoded, 0.0)
    kept = suppressed(decoded, best, jnp.isfinite(best) & finite, labels, test)
    # A pair that was left out may be better than one whose score was lowered.
    certain = kept.valid.all() & (kept.scores[-1] >= best[-1])
    incomplete = (eligible.sum() > best.shape[0]) & ~certain
    valid = kept.valid
    if test.drop_empty_boxes:
      valid &= boxes.nonempty(decoded[kept.index], 0.0)
    return make_detections(decoded[kept.index], kept.scores, labels[kept.index], valid, incomplete)

  return per_image(one_image)(scores, regression, proposals.boxes, proposals.valid, image_size)


def suppressed(
  decoded: Float[Array, 'n 4'],
  scores: Float[Array, 'n'],
  valid: Bool[Array, 'n'],
  labels: Int[Array, 'n'],
  test: FrozenConfigDict,
) -> Softened:
  """The best `test.detections` pairs of one image after suppression within their class, soft with `test.soft_nms`."""
  count = min(test.detections, scores.shape[0])
  if 'soft_nms' in test:
    return soft_nms(decoded, scores, valid, count, iou=test.iou, groups=labels, **test.soft_nms)
  index, kept = nms_top_k(decoded, scores, valid, test.iou, groups=labels, k=count)
  return Softened(index, scores[index], kept)
