"""Generalized focal loss (GFL, Li et al., 2020): class scores predict the box's IoU, distances are distributions.

`settings` is `config.model.head`. Anchors are assigned as in ATSS; distances are from their centres.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.losses.box_regression import weighted_iou_loss
from jaxdet.losses.distribution_focal import distribution_focal_loss, distribution_mean
from jaxdet.losses.quality_focal import quality_focal_loss
from jaxdet.models.dense_methods.adaptive_targets import adaptive_targets
from jaxdet.models.dense_methods.method import DenseMethod, stacked, stacked_strides
from jaxdet.models.dense_methods.predictions import Outputs, Predictions, all_predictions
from jaxdet.models.forward import Call, Losses
from jaxdet.ops import box_coder
from jaxdet.ops.iou import iou
from jaxdet.structures import Batch

BELOW_LARGEST = 0.1  # target distances are at most `settings.largest` minus this


class GFL(DenseMethod):
  """Anchors with a distribution for each distance, in strides from 0 to `settings.largest`."""

  @property
  def box_channels(self) -> int:
    return 4 * (self.settings.largest + 1)

  def loss(self, call: Call, outputs: Outputs, batch: Batch, key: Array) -> Losses:
    settings, by_level = self.settings, self.anchors(outputs)
    anchors = jnp.asarray(stacked(by_level))
    strides = stacked_strides(by_level, self.strides(by_level))[:, None]
    labels, counted, gt_boxes = adaptive_targets(outputs, by_level, batch, self.num_classes, settings)
    positive = labels < self.num_classes
    divisor = self.divisor(call, positive)

    predictions = all_predictions(outputs)
    logits = jax.lax.stop_gradient(predictions['logits'])
    weights = jnp.where(positive, jax.nn.sigmoid(logits).max(-1), 0.0)
    decoded = self._decode(predictions['box_regression'], anchors, strides)
    quality = jnp.where(positive, iou(decoded, gt_boxes), 0.0)
    distances = box_coder.encode_sides(anchors, gt_boxes, relative=False) / strides
    distances = jnp.clip(distances, 0.0, settings.largest - BELOW_LARGEST)
    per_side = distribution_focal_loss(self._distributions(predictions['box_regression']), distances)
    box_divisor = jnp.maximum(weights.sum(), 1.0)
    loss_class = quality_focal_loss(predictions['logits'], labels, counted, quality, **settings.class_loss)
    return {
      'loss_class': loss_class / divisor,
      'loss_box': weighted_iou_loss(decoded, gt_boxes, weights, settings.loss) / box_divisor,
      'loss_distribution': settings.distribution_weight * (per_side.mean(-1) * weights).sum() / box_divisor,
    }

  def decode(
    self, predictions: Predictions, anchors: Float[Array, 'k 4'], strides: Float[Array, '']
  ) -> Float[Array, 'k 4']:
    return self._decode(predictions['box_regression'], anchors, strides)

  def _decode(self, logits: Float[Array, '... 4*n'], anchors: Float[Array, '... 4'], strides) -> Float[Array, '... 4']:
    return box_coder.decode_sides(distribution_mean(self._distributions(logits)) * strides, anchors, relative=False)

  def _distributions(self, logits: Float[Array, '... 4*n']) -> Float[Array, '... 4 n']:
    return logits.reshape(*logits.shape[:-1], 4, self.settings.largest + 1)
