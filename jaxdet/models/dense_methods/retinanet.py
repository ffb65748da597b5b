"""RetinaNet (Lin et al., 2017): anchors matched by IoU, and a focal loss over all of them.

`settings` is `config.model.head`; its comments mark differences between Detectron2 and mmdetection.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.assign.matcher import match
from jaxdet.losses.box_regression import regression_loss
from jaxdet.losses.focal import focal_loss_of_levels
from jaxdet.models.dense_methods.method import DenseMethod, stacked
from jaxdet.models.dense_methods.predictions import Outputs, Predictions, all_predictions, level_rows
from jaxdet.models.forward import Call, Losses
from jaxdet.models.level_anchors import training_anchors
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch, Objects


class RetinaNet(DenseMethod):
  """Anchors with class logits and deltas."""

  def loss(self, call: Call, outputs: Outputs, batch: Batch, key: Array) -> Losses:
    settings, by_level = self.settings, self.anchors(outputs)
    anchors = jnp.asarray(stacked(by_level))

    def targets(gt: Objects, size):
      valid = training_anchors(outputs['logits'], by_level, size, settings)
      matched = match(anchors, gt.boxes, gt.valid, valid_boxes=valid, **settings.matcher)
      labels = jnp.where(matched.label == 1, gt.labels[matched.index], self.num_classes)
      return labels, matched.label >= 0, gt.boxes[matched.index]

    labels, counted, gt_boxes = jax.lax.stop_gradient(
      per_image(targets)(batch.objects.replace(masks=None), batch.image_size)
    )
    positive = labels < self.num_classes
    divisor = self.divisor(call, positive)
    predictions = all_predictions(outputs)
    loss_class = focal_loss_of_levels(level_rows(outputs, 'logits'), labels, counted, **settings.class_loss)
    deltas = predictions['box_regression']
    loss_box = regression_loss(deltas, anchors, gt_boxes, positive, self.coder, settings.loss)
    return {'loss_class': loss_class / divisor, 'loss_box': loss_box / divisor}

  def decode(
    self, predictions: Predictions, anchors: Float[Array, 'k 4'], strides: Float[Array, '']
  ) -> Float[Array, 'k 4']:
    return self.coder.decode(predictions['box_regression'], anchors)
