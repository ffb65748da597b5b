"""Generalized focal loss (GFL, Li et al., 2020): classes that tell the box's quality, sides that are distributions.

`settings` is `config.model.head`. Anchors choose objects as in ATSS; the box is read off their middles.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import FrozenConfigDict

from jaxdet.losses import normalizer
from jaxdet.losses.box_regression import weighted_iou_loss
from jaxdet.losses.distribution_focal import distribution_focal_loss, distribution_mean
from jaxdet.losses.quality_focal import quality_focal_loss
from jaxdet.models.detectors.adaptive_targets import adaptive_targets
from jaxdet.models.detectors.forward import Losses
from jaxdet.models.detectors.level_anchors import Priors
from jaxdet.models.detectors.level_rows import Maps, Rows, all_rows
from jaxdet.ops import box_coder
from jaxdet.ops.iou import iou
from jaxdet.structures import Batch

BELOW_LARGEST = 0.1  # targets stay by so much below the largest number that a distribution knows


@dataclasses.dataclass(frozen=True)
class GFL:
  """A method of dense.py."""

  settings: FrozenConfigDict
  num_classes: int

  @property
  def box_channels(self) -> int:
    return 4 * (self.settings.largest + 1)

  def initial_state(self) -> normalizer.State:
    return normalizer.initial_state(self.settings.normalizer)

  def loss(self, maps: Maps, priors: Priors, batch: Batch, state: normalizer.State) -> tuple[Losses, normalizer.State]:
    settings = self.settings
    anchors = jnp.asarray(np.concatenate(list(priors.values())))
    strides = np.concatenate([np.full(len(x), 2.0**level, np.float32) for level, x in priors.items()])
    labels, counted, objects = adaptive_targets(maps, priors, batch, self.num_classes, settings)
    positive = labels < self.num_classes
    divisor, state = normalizer.normalizer(positive, settings.normalizer, state)

    rows = all_rows(maps)
    logits = jax.lax.stop_gradient(rows['logits'])
    weights = jnp.where(positive, jax.nn.sigmoid(logits).max(-1), 0.0)
    moved = self._boxes(rows['boxes'], anchors, strides[:, None])
    quality = jnp.where(positive, iou(moved, objects), 0.0)
    sides = box_coder.encode_sides(anchors, objects, relative=False) / strides[:, None]
    sides = jnp.clip(sides, 0.0, settings.largest - BELOW_LARGEST)
    by_side = distribution_focal_loss(self._distributions(rows['boxes']), sides)
    box_divisor = jnp.maximum(weights.sum(), 1.0)
    return {
      'loss_class': quality_focal_loss(rows['logits'], labels, counted, quality, **settings.class_loss) / divisor,
      'loss_box': weighted_iou_loss(moved, objects, weights, settings.loss) / box_divisor,
      'loss_distribution': settings.distribution_weight * (by_side.mean(-1) * weights).sum() / box_divisor,
    }, state

  def scores(self, rows: Rows) -> Float[Array, 'N K']:
    return jax.nn.sigmoid(rows['logits'])

  def final_scores(self, scores: Float[Array, 'k'], rows: Rows) -> Float[Array, 'k']:
    del rows  # scores are the boxes' quality already
    return scores

  def decode(self, rows: Rows, priors: Float[Array, 'k 4'], level: int) -> Float[Array, 'k 4']:
    return self._boxes(rows['boxes'], priors, 2.0**level)

  def _boxes(self, logits: Float[Array, '... 4*n'], anchors: Float[Array, '... 4'], strides) -> Float[Array, '... 4']:
    return box_coder.decode_sides(distribution_mean(self._distributions(logits)) * strides, anchors, relative=False)

  def _distributions(self, logits: Float[Array, '... 4*n']) -> Float[Array, '... 4 n']:
    return logits.reshape(*logits.shape[:-1], 4, self.settings.largest + 1)
