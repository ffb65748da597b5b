"""FCOS (Tian et al., 2019): every point of a level inside an object says how far its sides are, and how central it is.

`settings` is `config.model.head`; its comments say where Detectron2 and mmdetection differ.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from ml_collections import FrozenConfigDict

from jaxdet.assign.centerness import centerness
from jaxdet.assign.points import match_points
from jaxdet.losses import normalizer
from jaxdet.losses.box_regression import weighted_iou_loss
from jaxdet.losses.focal import focal_loss
from jaxdet.models.detectors.forward import Losses
from jaxdet.models.detectors.level_anchors import Priors
from jaxdet.models.detectors.level_rows import Maps, Rows, all_rows
from jaxdet.ops import box_coder
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch


@dataclasses.dataclass(frozen=True)
class FCOS:
  """A method of dense.py. A point is the middle of a square with a side of one stride."""

  settings: FrozenConfigDict
  num_classes: int

  @property
  def box_channels(self) -> int:
    return 4

  def initial_state(self) -> normalizer.State:
    return normalizer.initial_state(self.settings.normalizer)

  def loss(self, maps: Maps, priors: Priors, batch: Batch, state: normalizer.State) -> tuple[Losses, normalizer.State]:
    settings = self.settings
    squares = np.concatenate(list(priors.values()))
    points, strides = (squares[:, :2] + squares[:, 2:]) / 2, squares[:, 2] - squares[:, 0]
    ranges = np.repeat(np.asarray(settings.ranges, np.float32), [len(x) for x in priors.values()], axis=0)

    def targets(gt_boxes, gt_labels, gt_valid):
      matched = match_points(points, strides, ranges, gt_boxes, gt_valid, **settings.matcher)
      labels = jnp.where(matched.positive, gt_labels[matched.index], self.num_classes)
      return labels, gt_boxes[matched.index]

    labels, objects = jax.lax.stop_gradient(per_image(targets)(batch.boxes, batch.labels, batch.objects_valid))
    positive = labels < self.num_classes
    sides = box_coder.encode_sides(squares, objects, relative=False)
    central = jnp.where(positive, centerness(sides), 0.0)
    divisor, state = normalizer.normalizer(positive, settings.normalizer, state)
    if settings.weigh_boxes:
      weights, box_divisor = central, jnp.maximum(central.sum(), 1e-6)
    else:
      weights, box_divisor = positive.astype(jnp.float32), divisor

    rows = all_rows(maps)
    moved = self._boxes(jnp.where(positive[..., None], rows['boxes'], 0.0), squares)
    by_point = optax.sigmoid_binary_cross_entropy(rows['centerness'], central)
    return {
      'loss_class': focal_loss(rows['logits'], labels, jnp.ones_like(positive), **settings.class_loss) / divisor,
      'loss_box': weighted_iou_loss(moved, objects, weights, settings.loss) / box_divisor,
      'loss_centerness': jnp.where(positive, by_point, 0.0).sum() / divisor,
    }, state

  def scores(self, rows: Rows) -> Float[Array, 'N K']:
    scores = jax.nn.sigmoid(rows['logits'])
    if self.settings.centerness_score == 'root':
      return jnp.sqrt(scores * jax.nn.sigmoid(rows['centerness'])[:, None])
    return scores

  def final_scores(self, scores: Float[Array, 'k'], rows: Rows) -> Float[Array, 'k']:
    if self.settings.centerness_score == 'root':
      return scores
    return scores * jax.nn.sigmoid(rows['centerness'])

  def decode(self, rows: Rows, priors: Float[Array, 'k 4'], level: int) -> Float[Array, 'k 4']:
    del level  # strides are the squares' sides
    return self._boxes(rows['boxes'], priors)

  def _boxes(self, numbers: Float[Array, '... 4'], squares: Float[Array, '... 4']) -> Float[Array, '... 4']:
    """What the head's numbers mean: strides, or logarithms of pixels."""
    if self.settings.distances == 'strides':
      return box_coder.decode_sides(jax.nn.relu(numbers), squares, relative=True)
    return box_coder.decode_sides(jnp.exp(numbers), squares, relative=False)
