"""Selects the detections of a two-stage detector: the best (RoI, class) pairs after class-wise suppression."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.models.detections import make_detections
from jaxdet.ops import boxes
from jaxdet.ops.nms import nms_top_k
from jaxdet.ops.per_image import per_image
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
  pair above the threshold, or if `test.detections` of them survive; `incomplete` marks images where neither holds. With
  `test.drop_empty_boxes` boxes without area are dropped from the survivors (Detectron2).

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
    kept, kept_valid = nms_top_k(
      decoded, best, jnp.isfinite(best) & finite, test.iou, groups=labels, k=min(test.detections, best.shape[0])
    )
    incomplete = (eligible.sum() > best.shape[0]) & ~kept_valid.all()
    if test.drop_empty_boxes:
      kept_valid &= boxes.nonempty(decoded[kept], 0.0)
    return make_detections(decoded[kept], best[kept], labels[kept], kept_valid, incomplete)

  return per_image(one_image)(scores, regression, proposals.boxes, proposals.valid, image_size)
