"""RetinaNet (Lin et al., 2017): anchors matched by overlap, and a focal loss over all of them.

`settings` is `config.model.head`; its comments say where Detectron2 and mmdetection differ.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import FrozenConfigDict

from jaxdet.assign.matcher import match
from jaxdet.losses import normalizer
from jaxdet.losses.box_regression import regression_loss
from jaxdet.losses.focal import focal_loss
from jaxdet.models.detectors.forward import Losses
from jaxdet.models.detectors.level_anchors import Priors, training_anchors
from jaxdet.models.detectors.level_rows import Maps, Rows, all_rows
from jaxdet.ops import box_coder
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch


@dataclasses.dataclass(frozen=True)
class RetinaNet:
  """A method of dense.py."""

  settings: FrozenConfigDict
  num_classes: int

  @property
  def box_channels(self) -> int:
    return 4

  def initial_state(self) -> normalizer.State:
    return normalizer.initial_state(self.settings.normalizer)

  def loss(self, maps: Maps, priors: Priors, batch: Batch, state: normalizer.State) -> tuple[Losses, normalizer.State]:
    settings = self.settings
    anchors = jnp.asarray(np.concatenate(list(priors.values())))

    def targets(gt_boxes, gt_labels, gt_valid, size):
      candidates = training_anchors(maps['logits'], priors, size, settings)
      matched = match(anchors, gt_boxes, gt_valid, candidates=candidates, **settings.matcher)
      labels = jnp.where(matched.label == 1, gt_labels[matched.index], self.num_classes)
      return labels, matched.label >= 0, gt_boxes[matched.index]

    labels, counted, objects = jax.lax.stop_gradient(
      per_image(targets)(batch.boxes, batch.labels, batch.objects_valid, batch.image_size)
    )
    positive = labels < self.num_classes
    divisor, state = normalizer.normalizer(positive, settings.normalizer, state)
    rows = all_rows(maps)
    loss_class = focal_loss(rows['logits'], labels, counted, **settings.class_loss)
    loss_box = regression_loss(rows['boxes'], anchors, objects, positive, settings.coder, settings.loss)
    return {'loss_class': loss_class / divisor, 'loss_box': loss_box / divisor}, state

  def scores(self, rows: Rows) -> Float[Array, 'N K']:
    return jax.nn.sigmoid(rows['logits'])

  def final_scores(self, scores: Float[Array, 'k'], rows: Rows) -> Float[Array, 'k']:
    del rows  # there is nothing but classes to score by
    return scores

  def decode(self, rows: Rows, priors: Float[Array, 'k 4'], level: int) -> Float[Array, 'k 4']:
    del level  # deltas are relative to the anchors
    coder = self.settings.coder
    return box_coder.decode(rows['boxes'], priors, coder.weights, coder.clamp, extra=coder.extra)
