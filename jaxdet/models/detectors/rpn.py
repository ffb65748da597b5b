"""Region proposals: from the RPN head's logits and deltas to boxes, and to its two losses.

Faster R-CNN (Ren et al., 2015) on a feature pyramid (Lin et al., 2017). `settings` is `config.model.rpn`;
its comments say where Detectron2 and mmdetection differ.
"""

from collections.abc import Mapping

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.assign.matcher import match
from jaxdet.assign.sampler import sample_mask
from jaxdet.losses.box_regression import regression_loss
from jaxdet.models.detectors.level_anchors import level_anchors, training_anchors
from jaxdet.ops import box_coder, boxes
from jaxdet.ops.nms import nms
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch

Levels = Mapping[int, Array]


@flax.struct.dataclass
class Proposals:
  """P proposals for each of B images, best first."""

  boxes: Float[Array, 'B P 4']  # in canvas pixels, inside the image
  logits: Float[Array, 'B P']
  valid: Bool[Array, 'B P']


def given(batch: Batch) -> Proposals:
  """The proposals that come with the batch, in place of a network's."""
  if batch.proposals is None:
    raise ValueError('this detector has no region proposal network: the batch must bring proposals')
  return Proposals(batch.proposals, jnp.zeros(batch.proposals_valid.shape), batch.proposals_valid)


@jax.named_scope('proposals')
def propose(
  logits: Levels, deltas: Levels, image_size: Int[Array, 'B 2'], settings: FrozenConfigDict, train: bool
) -> Proposals:
  """The best boxes of all levels after non-maximum suppression within each level; without gradient.

  The order is upstream's: the best `pre_nms` of a level by logit, decode, clip to the image, drop boxes
  with a side of at most `min_size` pixels, suppress, then the best `post_nms` over all levels.
  """
  limits = settings.train_proposals if train else settings.test_proposals
  anchors = level_anchors(logits, settings)

  def one_image(logits: Levels, deltas: Levels, size: Int[Array, '2']):
    per_level = []
    for level in anchors:
      scores, index = jax.lax.top_k(logits[level], min(limits.pre_nms, logits[level].shape[0]))
      best_anchors = jnp.asarray(anchors[level])[index]
      decoded = box_coder.decode_clipped(deltas[level][index], best_anchors, size, settings.coder)
      finite = jnp.isfinite(decoded).all(-1) & jnp.isfinite(scores)
      decoded = jnp.where(finite[:, None], decoded, 0.0)
      per_level.append((decoded, scores, finite & boxes.has_sides(decoded, limits.min_size)))
    # Levels are suppressed side by side: padded to equal length, one vmap.
    length = max(scores.shape[0] for _, scores, _ in per_level)
    level_boxes, scores, valid = (
      jnp.stack([_pad_rows(part, length) for part in parts]) for parts in zip(*per_level, strict=True)
    )
    keep = jax.vmap(lambda b, s, v: nms(b, s, v, limits.iou, limit=limits.post_nms))(
      level_boxes, scores, valid
    ).reshape(-1)
    ranking = jnp.where(keep, scores.reshape(-1), -jnp.inf)
    best, index = jax.lax.top_k(ranking, min(limits.post_nms, ranking.shape[0]))
    valid = jnp.isfinite(best)
    chosen = level_boxes.reshape(-1, 4)[index]
    return jnp.where(valid[:, None], chosen, 0.0), jnp.where(valid, best, 0.0), valid

  flat_logits = {level: x.reshape(x.shape[0], -1) for level, x in logits.items()}
  flat_deltas = {level: x.reshape(x.shape[0], -1, 4) for level, x in deltas.items()}
  return Proposals(*jax.lax.stop_gradient(per_image(one_image)(flat_logits, flat_deltas, image_size)))


@jax.named_scope('rpn_losses')
def losses(
  logits: Levels, deltas: Levels, batch: Batch, keys: Array, settings: FrozenConfigDict
) -> dict[str, Float[Array, '']]:
  """Binary cross entropy of objectness and the regression loss of the positive anchors.

  Args:
    logits: {level: [B, H, W, A]}
    deltas: {level: [B, H, W, A, 4]}
    batch: ground truth.
    keys: a random key for each image, [B]; they choose the sampled anchors.
    settings: `config.model.rpn`.
  """
  by_level = level_anchors(logits, settings)
  anchors = jnp.asarray(np.concatenate(list(by_level.values())))
  flat_logits = jnp.concatenate([logits[l].reshape(logits[l].shape[0], -1) for l in by_level], axis=1)
  flat_deltas = jnp.concatenate([deltas[l].reshape(deltas[l].shape[0], -1, 4) for l in by_level], axis=1)

  def targets(key, gt_boxes, gt_valid, size):
    candidates = training_anchors(logits, by_level, size, settings)
    matched = match(anchors, gt_boxes, gt_valid, candidates=candidates, **settings.matcher)
    sampled = sample_mask(matched.label, key, **settings.sampler)
    positive = sampled & (matched.label == 1)
    return sampled, positive, gt_boxes[matched.index]

  sampled, positive, objects = jax.lax.stop_gradient(
    per_image(targets)(keys, batch.boxes, batch.objects_valid, batch.image_size)
  )
  normalizer = settings.normalizer * batch.image.shape[0] or jnp.maximum(sampled.sum(), 1)
  objectness = optax.sigmoid_binary_cross_entropy(flat_logits, positive.astype(jnp.float32))
  regression = regression_loss(flat_deltas, anchors, objects, positive, settings.coder, settings.loss)
  return {
    'loss_rpn_objectness': jnp.where(sampled, objectness, 0.0).sum() / normalizer,
    'loss_rpn_box': regression / normalizer,
  }


def _pad_rows(x: Array, length: int) -> Array:
  return jnp.pad(x, [(0, length - x.shape[0])] + [(0, 0)] * (x.ndim - 1))
