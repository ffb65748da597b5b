"""ATSS (Zhang et al., 2020): one square anchor a cell, and objects that choose their anchors themselves.

`settings` is `config.model.head`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from ml_collections import FrozenConfigDict

from jaxdet.assign.centerness import centerness
from jaxdet.losses import normalizer
from jaxdet.losses.box_regression import weighted_iou_loss
from jaxdet.losses.focal import focal_loss
from jaxdet.models.detectors.adaptive_targets import adaptive_targets
from jaxdet.models.detectors.forward import Losses
from jaxdet.models.detectors.level_anchors import Priors
from jaxdet.models.detectors.level_rows import Maps, Rows, all_rows
from jaxdet.ops import box_coder
from jaxdet.structures import Batch


@dataclasses.dataclass(frozen=True)
class ATSS:
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
    labels, counted, objects = adaptive_targets(maps, priors, batch, self.num_classes, settings)
    positive = labels < self.num_classes
    central = jnp.where(positive, centerness(box_coder.encode_sides(anchors, objects, relative=False)), 0.0)
    divisor, state = normalizer.normalizer(positive, settings.normalizer, state)
    rows = all_rows(maps)
    moved = self._boxes(jnp.where(positive[..., None], rows['boxes'], 0.0), anchors)
    by_anchor = optax.sigmoid_binary_cross_entropy(rows['centerness'], central)
    return {
      'loss_class': focal_loss(rows['logits'], labels, counted, **settings.class_loss) / divisor,
      'loss_box': weighted_iou_loss(moved, objects, central, settings.loss) / jnp.maximum(central.sum(), 1.0),
      'loss_centerness': jnp.where(positive, by_anchor, 0.0).sum() / divisor,
    }, state

  def scores(self, rows: Rows) -> Float[Array, 'N K']:
    return jax.nn.sigmoid(rows['logits'])

  def final_scores(self, scores: Float[Array, 'k'], rows: Rows) -> Float[Array, 'k']:
    return scores * jax.nn.sigmoid(rows['centerness'])

  def decode(self, rows: Rows, priors: Float[Array, 'k 4'], level: int) -> Float[Array, 'k 4']:
    del level  # deltas are relative to the anchors
    return self._boxes(rows['boxes'], priors)

  def _boxes(self, deltas: Float[Array, '... 4'], anchors: Float[Array, '... 4']) -> Float[Array, '... 4']:
    return box_coder.decode(deltas, anchors, self.settings.coder.weights, self.settings.coder.clamp)
