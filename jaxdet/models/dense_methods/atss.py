"""ATSS (Zhang et al., 2020): one square anchor per cell, assigned by adaptive training sample selection.

`settings` is `config.model.head`.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdet.assign.centerness import centerness
from jaxdet.losses.box_regression import weighted_iou_loss
from jaxdet.losses.focal import focal_loss_of_levels
from jaxdet.models.dense_methods.adaptive_targets import adaptive_targets
from jaxdet.models.dense_methods.method import DenseMethod, stacked
from jaxdet.models.dense_methods.predictions import Outputs, Predictions, all_predictions, level_rows
from jaxdet.models.forward import Call, Losses
from jaxdet.ops import box_coder
from jaxdet.structures import Batch


class ATSS(DenseMethod):
  """Anchors with class logits, deltas and centerness."""

  def loss(self, call: Call, outputs: Outputs, batch: Batch, key: Array) -> Losses:
    settings, by_level = self.settings, self.anchors(outputs)
    anchors = jnp.asarray(stacked(by_level))
    labels, counted, gt_boxes = adaptive_targets(outputs, by_level, batch, self.num_classes, settings)
    positive = labels < self.num_classes
    distances = box_coder.encode_sides(anchors, gt_boxes, relative=False)
    target = jnp.where(positive, centerness(distances), 0.0)
    divisor = self.divisor(call, positive)
    predictions = all_predictions(outputs)
    decoded = self.coder.decode(jnp.where(positive[..., None], predictions['box_regression'], 0.0), anchors)
    per_anchor = optax.sigmoid_binary_cross_entropy(predictions['centerness'], target)
    loss_class = focal_loss_of_levels(level_rows(outputs, 'logits'), labels, counted, **settings.class_loss)
    return {
      'loss_class': loss_class / divisor,
      'loss_box': weighted_iou_loss(decoded, gt_boxes, target, settings.loss) / jnp.maximum(target.sum(), 1.0),
      'loss_centerness': jnp.where(positive, per_anchor, 0.0).sum() / divisor,
    }

  def final_scores(self, scores: Float[Array, 'k'], predictions: Predictions) -> Float[Array, 'k']:
    return scores * jax.nn.sigmoid(predictions['centerness'])

  def decode(
    self, predictions: Predictions, anchors: Float[Array, 'k 4'], strides: Float[Array, '']
  ) -> Float[Array, 'k 4']:
    return self.coder.decode(predictions['box_regression'], anchors)
