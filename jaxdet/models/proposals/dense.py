"""A dense method as proposal generator: objects are one class, and its detections are the proposals.

FCOS takes the place of the region proposal network in mmdetection's faster-rcnn_r50_fpn_fcos-rpn_1x_coco.
`settings` is `config.model.proposals`.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.models.dense_methods.method import DenseMethod
from jaxdet.models.dense_methods.predictions import Outputs, Predictions, level_predictions
from jaxdet.models.forward import Call, Losses
from jaxdet.models.proposals.rpn import HEAD
from jaxdet.ops import boxes
from jaxdet.ops.nms import nms_top_k
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch, Proposals


@dataclasses.dataclass(frozen=True, eq=False)
class DenseProposals:
  """Proposal generator from a dense method of one class, whose boxes are suppressed over all levels together."""

  settings: FrozenConfigDict
  method: DenseMethod  # `test` is not used
  networks: Mapping[str, nn.Module]

  def train(self, call: Call, pyramid: Mapping[int, Array], batch: Batch, keys: Array) -> tuple[Losses, Proposals]:
    """The method's losses, 'loss_class' as 'loss_rpn_class' and so on, and proposals for the second stage."""
    outputs = call(HEAD, pyramid)
    objects = batch.objects.replace(labels=jnp.zeros_like(batch.objects.labels))
    losses = self.method.loss(call, outputs, batch.replace(objects=objects), keys[0])
    named = {name.replace('loss_', 'loss_rpn_', 1): value for name, value in losses.items()}
    return named, self._propose(call, outputs, batch, self.settings.train_proposals)

  def propose(self, call: Call, pyramid: Mapping[int, Array], batch: Batch) -> Proposals:
    """Proposals for inference."""
    return self._propose(call, call(HEAD, pyramid), batch, self.settings.test_proposals)

  def _propose(self, call: Call, outputs: Outputs, batch: Batch, limits: FrozenConfigDict) -> Proposals:
    test = FrozenConfigDict({'score_threshold': 0.0, 'pre_nms_topk': limits.pre_nms_topk})
    best = partial(propose, method=dataclasses.replace(self.method, test=test), limits=limits)
    return call.step('proposals', best, outputs, batch.image_size, gradient=0)


@jax.named_scope('proposals')
def propose(
  outputs: Outputs, image_size: Int[Array, 'B 2'], method: DenseMethod, limits: FrozenConfigDict
) -> Proposals:
  """Selects the best boxes of every level, clips and suppresses them, and takes the best; without gradient.

  Args:
    outputs: of the method's head.
    image_size: (height, width) in pixels.
    method: decodes and scores them, the best `pre_nms_topk` of every level.
    limits: `post_nms_topk`, `iou` and `min_size`, the least side in pixels, which is excluded.
  """
  anchors = method.anchors(outputs)

  def one_image(by_level: dict[int, Predictions], size: Int[Array, '2']) -> Proposals:
    found = method.candidates(by_level, anchors)
    clipped = boxes.clip(found.boxes, size)
    valid = found.valid & boxes.nonempty(clipped, limits.min_size)
    count = min(limits.post_nms_topk, found.scores.shape[0])
    kept, valid = nms_top_k(clipped, found.scores, valid, limits.iou, k=count)
    return Proposals(
      boxes=jnp.where(valid[:, None], clipped[kept], 0.0),
      logits=jnp.where(valid, logits(found.scores[kept]), 0.0),
      valid=valid,
    )

  return jax.lax.stop_gradient(per_image(one_image)(level_predictions(outputs), image_size))


def logits(probabilities: Float[Array, '*N']) -> Float[Array, '*N']:
  """Inverse of the sigmoid; finite also for probabilities that are 0 or 1 after rounding."""
  limits = jnp.finfo(probabilities.dtype)
  p = jnp.clip(probabilities, limits.tiny, 1 - limits.epsneg)
  return jnp.log(p) - jnp.log1p(-p)
