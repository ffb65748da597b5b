"""YOLACT (Bolya et al., 2019): a mask is a sum of prototypes, with coefficients predicted at each anchor.

`settings` is `config.model.head`. Outputs are those of dense_heads/yolact_head.py and dense_heads/protonet.py.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.assign.matcher import match
from jaxdet.losses.box_regression import regression_loss
from jaxdet.losses.hard_negatives import hard_negatives
from jaxdet.losses.prototype_masks import prototype_mask_loss, semantic_loss
from jaxdet.losses.regions import mask_padding
from jaxdet.models.dense_methods.method import DenseMethod, stacked
from jaxdet.models.dense_methods.predictions import Outputs, Predictions, all_predictions, level_predictions
from jaxdet.models.detections import make_detections
from jaxdet.models.forward import Call, Losses
from jaxdet.models.level_anchors import Anchors, training_anchors
from jaxdet.models.random_keys import image_keys
from jaxdet.ops import boxes
from jaxdet.ops.fast_nms import fast_nms
from jaxdet.ops.masks import draw_masks, unpack_masks
from jaxdet.ops.per_image import per_image
from jaxdet.parts import find
from jaxdet.structures import Batch, Detections, ImageMasks, Objects


class AnchorCandidates(NamedTuple):
  """The n best anchors of one image, with the scores of all classes."""

  boxes: Float[Array, 'n 4']  # in canvas pixels, not clipped
  scores: Float[Array, 'n K']
  coefficients: Float[Array, 'n P']


class YOLACT(DenseMethod):
  """Anchors with softmax classes, deltas and mask coefficients."""

  def loss(self, call: Call, outputs: Outputs, batch: Batch, key: Array) -> Losses:
    if batch.objects.masks is None:
      raise ValueError('YOLACT learns from masks, and the ground truth has none: set data.mask_size')
    settings, by_level = self.settings, self.anchors(outputs)
    anchors = jnp.asarray(stacked(by_level))

    def targets(gt: Objects, size: Int[Array, '2']):
      valid = training_anchors(outputs['logits'], by_level, size, settings)
      matched = match(anchors, gt.boxes, gt.valid, valid_boxes=valid, **settings.matcher)
      labels = jnp.where(matched.label == 1, gt.labels[matched.index], self.num_classes)
      return labels, matched.label >= 0, matched.index, gt.boxes[matched.index]

    labels, counted, index, gt_boxes = jax.lax.stop_gradient(
      per_image(targets)(batch.objects.replace(masks=None), batch.image_size)
    )
    positive = labels < self.num_classes
    divisor = self.divisor(call, positive)
    predictions = all_predictions(outputs)
    logits, labels = mask_padding(predictions['logits'], labels, counted, background=self.num_classes)
    each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    hard = hard_negatives(each, positive, counted & ~positive, settings.negatives)
    loss_box = regression_loss(predictions['box_regression'], anchors, gt_boxes, positive, self.coder, settings.loss)
    return {
      'loss_class': jnp.where(positive | hard, each, 0.0).sum() / divisor,
      'loss_box': loss_box / divisor,
      **self._mask_losses(outputs, predictions['coefficients'], positive, index, batch, key),
    }

  def _mask_losses(
    self,
    outputs: Outputs,
    coefficients: Float[Array, 'B N P'],
    positive: Bool[Array, 'B N'],
    index: Int[Array, 'B N'],
    batch: Batch,
    key: Array,
  ) -> Losses:
    """Losses of masks, for at most `masks.positives` anchors per image, and of the semantic map."""
    settings, canvas = self.settings.masks, batch.image.shape[1:3]
    extents = {'canvas': jnp.broadcast_to(jnp.asarray(canvas), batch.image_size.shape), 'image': batch.image_size}
    most = min(settings.positives, positive.shape[1])

    def one_image(prototypes, semantic, coefficients, positive, index, gt: Objects, extent, key):
      chance = jnp.where(positive, jax.random.uniform(key, positive.shape), -1.0)
      chance, rows = jax.lax.top_k(chance, most)
      valid, objects = chance >= 0, index[rows]
      bits = unpack_masks(gt.masks.bits)
      drawn = draw_masks(bits, gt.masks.windows, canvas, prototypes.shape[:2])
      loss = prototype_mask_loss(
        combined(prototypes, coefficients[rows]), drawn[objects], gt.boxes[objects], valid, extent.astype(jnp.float32)
      )
      drawn = draw_masks(bits, gt.masks.windows, canvas, semantic.shape[:2])
      return loss, valid.sum(), semantic_loss(semantic, drawn, gt.labels, gt.valid)

    loss, count, semantic = per_image(one_image)(
      outputs['prototypes'],
      outputs['semantic'],
      coefficients,
      positive,
      index,
      batch.objects,
      find(extents, settings.extent, 'head.masks.extent'),
      image_keys(key, batch),
    )
    return {
      'loss_mask': settings.weight * loss.sum() / jnp.maximum(count.sum(), 1),
      'loss_semantic': settings.semantic_weight * semantic.mean(),
    }

  def scores(self, predictions: Predictions) -> Float[Array, 'N K']:
    return jax.nn.softmax(predictions['logits'], axis=-1)[..., :-1]

  def decode(
    self, predictions: Predictions, anchors: Float[Array, 'k 4'], strides: Float[Array, '']
  ) -> Float[Array, 'k 4']:
    return self.coder.decode(predictions['box_regression'], anchors)

  def detect(self, call: Call, outputs: Outputs, batch: Batch) -> Detections:
    """Selects the best (anchor, class) pairs after suppression, with masks on the prototypes' grid."""

    def from_outputs(outputs: Outputs, image_size: Int[Array, 'B 2']) -> Detections:
      anchors = self.anchors(outputs)

      def one_image(by_level, prototypes, size) -> Detections:
        found, coefficients = self.postprocess(self.candidates(by_level, anchors), size)
        probabilities = jax.nn.sigmoid(combined(prototypes, coefficients))
        return found.replace(masks=ImageMasks(jnp.where(found.valid[:, None, None], probabilities, 0.0)))

      return per_image(one_image)(level_predictions(outputs), outputs['prototypes'], image_size)

    return call.step('detections', jax.named_scope('detections')(from_outputs), outputs, batch.image_size, gradient=0)

  def candidates(self, by_level: dict[int, Predictions], anchors: Anchors) -> AnchorCandidates:
    """Selects the `test.pre_nms_topk` anchors of every level with the best maximum over classes."""
    parts = []
    for level, predictions in by_level.items():
      best = self.scores(predictions).max(-1)
      _, rows = jax.lax.top_k(jnp.where(jnp.isnan(best), -jnp.inf, best), min(self.test.pre_nms_topk, len(best)))
      chosen = {name: x[rows] for name, x in predictions.items()}
      decoded = self.decode(chosen, jnp.asarray(anchors[level])[rows], None)
      finite = jnp.isfinite(decoded).all(-1, keepdims=True)
      scores = jnp.where(finite, self.scores(chosen), -jnp.inf)
      parts.append(AnchorCandidates(jnp.where(finite, decoded, 0.0), scores, chosen['coefficients']))
    return jax.tree.map(lambda *levels: jnp.concatenate(levels), *parts)

  def postprocess(self, candidates: AnchorCandidates, size: Int[Array, '2']) -> tuple[Detections, Float[Array, 'K P']]:
    """Detections of one image, without masks yet, and their coefficients."""
    test, clipped = self.test, boxes.clip(candidates.boxes, size)
    kept = fast_nms(clipped, candidates.scores, test.iou, test.score_threshold, test.per_class, test.detections)
    incomplete = jnp.zeros((), bool)  # the cuts at `pre_nms_topk` and `per_class` are part of the method
    found = make_detections(clipped[kept.index], kept.scores, kept.labels, kept.valid, incomplete)
    return found, candidates.coefficients[kept.index]


def combined(prototypes: Float[Array, 'h w P'], coefficients: Float[Array, 'K P']) -> Float[Array, 'K h w']:
  """Mask logits: the sum of prototypes times coefficients."""
  return jnp.einsum('hwp,kp->khw', prototypes, coefficients)
