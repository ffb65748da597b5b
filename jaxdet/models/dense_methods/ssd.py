"""SSD (Liu et al., 2016): own anchor shapes per level, a softmax with background, and hard negative mining.

`settings` is `config.model.head`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from jaxdet.assign.matcher import match
from jaxdet.losses.box_regression import regression_loss
from jaxdet.losses.hard_negatives import hardest
from jaxdet.models.dense_methods.method import DenseMethod, stacked
from jaxdet.models.dense_methods.predictions import Outputs, Predictions, all_predictions
from jaxdet.models.forward import Call, Losses
from jaxdet.models.level_anchors import Anchors, training_anchors
from jaxdet.ops import anchors as anchor_ops
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch, Objects


class SSD(DenseMethod):
  """Anchors with class logits and deltas; levels differ in anchors per cell."""

  @property
  def num_anchors(self) -> tuple[int, ...]:
    """Anchors per cell of each level."""
    return tuple(len(cell) for cell in self._cells())

  def anchors(self, outputs: Outputs) -> Anchors:
    maps = outputs['logits']
    strides, offset = self.strides(maps), self.settings.anchors.offset
    return {
      level: anchor_ops.grid_anchors(cell, maps[level].shape[1:3], strides[level], offset)
      for level, cell in zip(sorted(maps), self._cells(), strict=True)
    }

  def loss(self, call: Call, outputs: Outputs, batch: Batch, key: Array) -> Losses:
    settings, by_level = self.settings, self.anchors(outputs)
    anchors = jnp.asarray(stacked(by_level))

    def targets(gt: Objects, size):
      valid = training_anchors(outputs['logits'], by_level, size, settings)
      matched = match(anchors, gt.boxes, gt.valid, valid_boxes=valid, **settings.matcher)
      labels = jnp.where(matched.label == 1, gt.labels[matched.index], self.num_classes)
      return labels, matched.label == 0, gt.boxes[matched.index]

    labels, negative, gt_boxes = jax.lax.stop_gradient(
      per_image(targets)(batch.objects.replace(masks=None), batch.image_size)
    )
    positive = labels < self.num_classes
    predictions = all_predictions(outputs)
    per_anchor = optax.softmax_cross_entropy_with_integer_labels(predictions['logits'], labels)

    def counted(losses: Float[Array, 'N'], positive: Bool[Array, 'N'], negative: Bool[Array, 'N']) -> Bool[Array, 'N']:
      return positive | hardest(losses, negative, settings.negatives * positive.sum())

    mined = per_image(counted)(jax.lax.stop_gradient(per_anchor), positive, negative)
    deltas = predictions['box_regression']
    loss_box = regression_loss(deltas, anchors, gt_boxes, positive, self.coder, settings.loss)
    divisor = self.divisor(call, positive)
    return {'loss_class': jnp.where(mined, per_anchor, 0.0).sum() / divisor, 'loss_box': loss_box / divisor}

  def scores(self, predictions: Predictions) -> Float[Array, 'N K']:
    return jax.nn.softmax(predictions['logits'])[:, : self.num_classes]

  def decode(
    self, predictions: Predictions, anchors: Float[Array, 'k 4'], strides: Float[Array, '']
  ) -> Float[Array, 'k 4']:
    return self.coder.decode(predictions['box_regression'], anchors)

  def _cells(self) -> list[Float[np.ndarray, 'A 4']]:
    """Anchors of one cell of each level, around the origin."""
    sizes, ratios = self.settings.anchors.sizes, self.settings.anchors.aspect_ratios
    return [anchor_ops.ssd_cell_anchors(*pair, of_level) for pair, of_level in zip(sizes, ratios, strict=True)]
