"""Region proposal network (Ren et al., 2015) on a feature pyramid (Lin et al., 2017).

`settings` is `config.model.proposals`; its comments mark differences between Detectron2 and mmdetection.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.assign.matcher import Match
from jaxdet.assign.tables import ASSIGNERS, MASK_SAMPLERS
from jaxdet.losses.box_regression import regression_loss
from jaxdet.models.dense_heads.rpn_head import RPNHead
from jaxdet.models.forward import Call, Losses
from jaxdet.models.level_anchors import anchors_per_cell, level_anchors, training_anchors
from jaxdet.ops import boxes
from jaxdet.ops.box_coder import make_coder
from jaxdet.ops.nms import nms
from jaxdet.ops.per_image import per_image
from jaxdet.parts import find_with_settings
from jaxdet.structures import Batch, Objects, Proposals

Levels = Mapping[int, Array]
Sampler = Callable[[Match, Array], Bool[Array, 'N']]  # from anchors' matches and a random key to those that count
HEAD = 'rpn_head'  # name of the network


@dataclasses.dataclass(frozen=True, eq=False)
class RPN:
  """Proposal generator from the objectness and deltas of every anchor."""

  settings: FrozenConfigDict
  networks: Mapping[str, nn.Module]
  sample: Sampler  # of the anchors of an image

  def train(self, call: Call, pyramid: Levels, batch: Batch, keys: Array) -> tuple[Losses, Proposals]:
    """The head's two losses, and proposals for the second stage; `keys` [B] choose the sampled anchors."""
    logits, deltas = call(HEAD, pyramid)
    of_anchors = partial(losses, settings=self.settings, sample=self.sample)
    made = call.step('RPN losses', of_anchors, logits, deltas, batch.objects, batch.image_size, keys, gradient=2)
    limits = self.settings.train_proposals
    return made, self._propose(call, logits, deltas, batch.image_size, limits)

  def propose(self, call: Call, pyramid: Levels, batch: Batch) -> Proposals:
    """Proposals for inference."""
    logits, deltas = call(HEAD, pyramid)
    return self._propose(call, logits, deltas, batch.image_size, self.settings.test_proposals)

  def _propose(self, call: Call, logits: Levels, deltas: Levels, image_size, limits: FrozenConfigDict) -> Proposals:
    best = partial(propose, settings=self.settings, limits=limits)
    return call.step('proposals', best, logits, deltas, image_size, gradient=0)


def make_rpn(settings: FrozenConfigDict, dtype: jnp.dtype) -> RPN:
  """Makes the region proposal network of `config.model.proposals`."""
  head = RPNHead(settings.num_convs, settings.channels, anchors_per_cell(settings.anchors), dtype)
  sample, limits = find_with_settings(MASK_SAMPLERS, settings.sampler, 'proposals.sampler.name')
  return RPN(settings, {HEAD: head}, partial(sample, **limits))


@jax.named_scope('proposals')
def propose(
  logits: Levels, deltas: Levels, image_size: Int[Array, 'B 2'], settings: FrozenConfigDict, limits: FrozenConfigDict
) -> Proposals:
  """Ranks, decodes and suppresses the anchors of every level, then takes the best over all levels; without gradient.

  The order is upstream's: the best `pre_nms_topk` of a level by logit, decode, clip to the image, drop boxes with a
  side of at most `min_size` pixels, suppress, then the best `post_nms_topk` over all levels.

  Args:
    logits: {level: [B, H, W, A]}
    deltas: {level: [B, H, W, A, 4]}
    image_size: (height, width) in pixels.
    settings: reads `anchors`, `coder` and `clip_border`.
    limits: `pre_nms_topk`, `post_nms_topk`, `iou` and `min_size`.
  """
  anchors, coder = level_anchors(logits, settings.anchors), make_coder(settings.coder)

  def one_image(logits: Levels, deltas: Levels, size: Int[Array, '2']):
    per_level = []
    for level in anchors:
      scores, index = jax.lax.top_k(logits[level], min(limits.pre_nms_topk, logits[level].shape[0]))
      best_anchors = jnp.asarray(anchors[level])[index]
      if settings.clip_border:
        decoded = coder.decode_clipped(deltas[level][index], best_anchors, size)
      else:
        decoded = coder.decode(deltas[level][index], best_anchors)
      finite = jnp.isfinite(decoded).all(-1) & jnp.isfinite(scores)
      decoded = jnp.where(finite[:, None], decoded, 0.0)
      per_level.append((decoded, scores, finite & boxes.nonempty(decoded, limits.min_size)))
    # One vmap suppresses all levels, padded to equal length.
    length = max(scores.shape[0] for _, scores, _ in per_level)
    level_boxes, scores, valid = (
      jnp.stack([_pad_rows(part, length) for part in parts]) for parts in zip(*per_level, strict=True)
    )
    keep = jax.vmap(lambda b, s, v: nms(b, s, v, limits.iou, limit=limits.post_nms_topk))(
      level_boxes, scores, valid
    ).reshape(-1)
    ranking = jnp.where(keep, scores.reshape(-1), -jnp.inf)
    best, index = jax.lax.top_k(ranking, min(limits.post_nms_topk, ranking.shape[0]))
    valid = jnp.isfinite(best)
    chosen = level_boxes.reshape(-1, 4)[index]
    return jnp.where(valid[:, None], chosen, 0.0), jnp.where(valid, best, 0.0), valid

  flat_logits = {level: x.reshape(x.shape[0], -1) for level, x in logits.items()}
  flat_deltas = {level: x.reshape(x.shape[0], -1, 4) for level, x in deltas.items()}
  return Proposals(*jax.lax.stop_gradient(per_image(one_image)(flat_logits, flat_deltas, image_size)))


@jax.named_scope('rpn_losses')
def losses(
  logits: Levels,
  deltas: Levels,
  objects: Objects,
  image_size: Int[Array, 'B 2'],
  keys: Array,
  settings: FrozenConfigDict,
  sample: Sampler,
) -> dict[str, Float[Array, '']]:
  """Binary cross entropy of objectness and the regression loss of the positive anchors.

  Args:
    logits: {level: [B, H, W, A]}
    deltas: {level: [B, H, W, A, 4]}
    objects: ground truth.
    image_size: (height, width) in pixels.
    keys: a random key for each image, [B]; they choose the sampled anchors.
    settings: `config.model.proposals`.
    sample: the anchors of an image that count.
  """
  by_level = level_anchors(logits, settings.anchors)
  anchors = jnp.asarray(np.concatenate(list(by_level.values())))
  flat_logits = jnp.concatenate([logits[l].reshape(logits[l].shape[0], -1) for l in by_level], axis=1)
  flat_deltas = jnp.concatenate([deltas[l].reshape(deltas[l].shape[0], -1, 4) for l in by_level], axis=1)

  assign, match_settings = find_with_settings(ASSIGNERS, settings.matcher, 'proposals.matcher.name')

  def targets(key, objects: Objects, size):
    valid_anchors = training_anchors(logits, by_level, size, settings)
    matched = assign(anchors, objects.boxes, objects.valid, valid_boxes=valid_anchors, **match_settings)
    sampled = sample(matched, key)
    positive = sampled & (matched.label == 1)
    return sampled, positive, objects.boxes[matched.index]

  sampled, positive, gt_boxes = jax.lax.stop_gradient(per_image(targets)(keys, objects.replace(masks=None), image_size))
  normalizer = settings.normalizer * len(image_size) or jnp.maximum(sampled.sum(), 1)
  objectness = optax.sigmoid_binary_cross_entropy(flat_logits, positive.astype(jnp.float32))
  regression = regression_loss(flat_deltas, anchors, gt_boxes, positive, make_coder(settings.coder), settings.loss)
  return {
    'loss_rpn_objectness': jnp.where(sampled, objectness, 0.0).sum() / normalizer,
    'loss_rpn_box': regression / normalizer,
  }


def _pad_rows(x: Array, length: int) -> Array:
  return jnp.pad(x, [(0, length - x.shape[0])] + [(0, 0)] * (x.ndim - 1))
