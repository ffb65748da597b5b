"""FCOS (Tian et al., 2019): points inside an object regress the distances to its sides, and centerness.

`settings` is `config.model.head`; its comments mark differences between Detectron2 and mmdetection.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxdet.assign.centerness import centerness
from jaxdet.assign.points import match_points
from jaxdet.losses.box_regression import weighted_iou_loss
from jaxdet.losses.focal import focal_loss_of_levels
from jaxdet.models.dense_methods.method import DenseMethod, stacked
from jaxdet.models.dense_methods.predictions import Outputs, Predictions, all_predictions, level_rows
from jaxdet.models.forward import Call, Losses
from jaxdet.ops import box_coder
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch, Objects


class FCOS(DenseMethod):
  """Points, as the centres of square anchors with a side of one stride."""

  def loss(self, call: Call, outputs: Outputs, batch: Batch, key: Array) -> Losses:
    settings, by_level = self.settings, self.anchors(outputs)
    squares = stacked(by_level)
    points, strides = (squares[:, :2] + squares[:, 2:]) / 2, squares[:, 2] - squares[:, 0]
    ranges = np.repeat(np.asarray(settings.ranges, np.float32), [len(x) for x in by_level.values()], axis=0)

    def targets(gt: Objects):
      matched = match_points(points, strides, ranges, gt.boxes, gt.valid, **settings.matcher)
      labels = jnp.where(matched.positive, gt.labels[matched.index], self.num_classes)
      return labels, gt.boxes[matched.index]

    labels, gt_boxes = jax.lax.stop_gradient(per_image(targets)(batch.objects.replace(masks=None)))
    positive = labels < self.num_classes
    distances = box_coder.encode_sides(squares, gt_boxes, relative=False)
    target = jnp.where(positive, centerness(distances), 0.0)
    divisor = self.divisor(call, positive)
    if settings.weigh_boxes:
      weights, box_divisor = target, jnp.maximum(target.sum(), 1e-6)
    else:
      weights, box_divisor = positive.astype(jnp.float32), divisor

    predictions = all_predictions(outputs)
    decoded = self._decode(jnp.where(positive[..., None], predictions['box_regression'], 0.0), squares)
    per_point = optax.sigmoid_binary_cross_entropy(predictions['centerness'], target)
    every_point = jnp.ones_like(positive)
    loss_class = focal_loss_of_levels(level_rows(outputs, 'logits'), labels, every_point, **settings.class_loss)
    return {
      'loss_class': loss_class / divisor,
      'loss_box': weighted_iou_loss(decoded, gt_boxes, weights, settings.loss) / box_divisor,
      'loss_centerness': jnp.where(positive, per_point, 0.0).sum() / divisor,
    }

  def scores(self, predictions: Predictions) -> Float[Array, 'N K']:
    scores = jax.nn.sigmoid(predictions['logits'])
    if self.settings.centerness_score == 'root':
      return jnp.sqrt(scores * jax.nn.sigmoid(predictions['centerness'])[:, None])
    return scores

  def final_scores(self, scores: Float[Array, 'k'], predictions: Predictions) -> Float[Array, 'k']:
    if self.settings.centerness_score == 'root':
      return scores
    return scores * jax.nn.sigmoid(predictions['centerness'])

  def decode(
    self, predictions: Predictions, anchors: Float[Array, 'k 4'], strides: Float[Array, '']
  ) -> Float[Array, 'k 4']:
    return self._decode(predictions['box_regression'], anchors)

  def _decode(self, regression: Float[Array, '... 4'], squares: Float[Array, '... 4']) -> Float[Array, '... 4']:
    """Decodes distances: in strides, or log pixels."""
    if self.settings.distances == 'strides':
      return box_coder.decode_sides(jax.nn.relu(regression), squares, relative=True)
    return box_coder.decode_sides(jnp.exp(regression), squares, relative=False)
