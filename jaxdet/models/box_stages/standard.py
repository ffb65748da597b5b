"""Standard box stage: classes and box deltas of RoIs, as in Fast R-CNN (Girshick, 2015).

`settings` is `config.model.roi`, in a cascade with the values of the stage; its comments mark differences between
Detectron2 and mmdetection.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.losses.box_regression import regression_loss
from jaxdet.losses.class_loss import ClassLoss
from jaxdet.models.box_stages.outputs import BoxOutputs
from jaxdet.models.forward import Call, Losses
from jaxdet.models.poolers.pooler import Pooler
from jaxdet.models.random_keys import batch_key
from jaxdet.models.roi_targets import RoITargets, label_and_sample
from jaxdet.ops import boxes
from jaxdet.ops.box_coder import BoxCoder, make_coder
from jaxdet.structures import Batch, Objects, Proposals

SHARED_HEAD = 'shared_head'


@dataclasses.dataclass(frozen=True, eq=False)
class StandardStage:
  """A box stage with one network, `head`, that predicts class logits and deltas from pooled features.

  Without box regression it only has the class loss, and detections have the boxes of their RoIs.
  """

  settings: FrozenConfigDict
  networks: Mapping[str, nn.Module]
  head: str  # name of the network
  pooler: Pooler
  class_loss: ClassLoss
  num_classes: int

  def label(
    self, call: Call, pyramid: Mapping[int, Array], proposals: Proposals, batch: Batch, keys: Array
  ) -> RoITargets:
    """Samples RoIs and assigns their targets; `keys` [B] are the images' random keys."""
    del pyramid
    return self._sampled(call, self.settings.sampler, proposals, batch, keys)

  def _sampled(
    self, call: Call, sampler: Mapping[str, Any], proposals: Proposals, batch: Batch, keys: Array
  ) -> RoITargets:
    s = self.settings
    rules = {'num_classes': self.num_classes, 'matcher': s.matcher, 'sampler': sampler}
    sample = partial(label_and_sample, **rules, add_ground_truth=s.add_ground_truth)
    return call.step('sampling of regions', sample, proposals, batch.objects, keys, gradient=0)

  def features(self, call: Call, pyramid: Mapping[int, Array], rois: Float[Array, 'B R 4']) -> Array:
    """Input of the head [B, R, S, S, C]: pooled features, passed through the shared head if there is one (C4)."""
    pooled = self.pooler(call, pyramid, rois)
    return call(SHARED_HEAD, pooled) if SHARED_HEAD in self.networks else pooled

  def outputs(self, call: Call, features: Array, rois: Float[Array, 'B R 4']) -> BoxOutputs:
    """Class logits of RoIs, and deltas if the head has box regression."""
    del rois
    return BoxOutputs(*call(self.head, features))

  def loss(self, call: Call, outputs: BoxOutputs, targets: RoITargets, batch: Batch, key: Array) -> Losses:
    """Class loss, box loss and values for the log; `key` is for class losses that sample."""
    with jax.named_scope('box_losses'):
      name = class_loss_name(self.head)
      state = call.state(name, lambda: self.class_loss.state)
      logits = outputs.logits
      loss_class, state = self.class_loss.loss(logits, targets.labels, targets.valid, batch_key(key), state)
      call.update_state(name, state)
      likeliest = self.class_loss.scores(jax.lax.stop_gradient(logits)).argmax(-1)
      positives = targets.positive.sum()
      right = targets.positive & (likeliest == targets.labels)
      losses = {'loss_class': loss_class}
      if outputs.regression is not None:
        losses['loss_box'] = self.box_loss(call, outputs.regression, targets, batch)
      return {
        **losses,
        'accuracy': right.sum() / jnp.maximum(positives, 1),  # of positives
        'positives': positives / len(batch.image),
      }

  def box_loss(
    self, call: Call, regression: Float[Array, 'B R K|1 4'], targets: RoITargets, batch: Batch
  ) -> Float[Array, '']:
    """Box loss `settings.loss`; `call` is for losses with a state."""
    del call
    return mean_box_loss(regression, targets, batch.objects, self.coder, self.settings.loss)

  def scores(self, outputs: BoxOutputs) -> Float[Array, 'B R K']:
    """Class scores."""
    return self.class_loss.scores(outputs.logits)

  def decode(
    self,
    regression: Float[Array, 'R K|1 4'] | None,
    rows: Int[Array, 'n'],
    labels: Int[Array, 'n'],
    rois: Float[Array, 'R 4'],
    image_size: Int[Array, '2'],
  ) -> Float[Array, 'n 4']:
    """Boxes of (RoI, class) pairs of one image, clipped to it; deltas of a class-agnostic head serve every class."""
    if regression is None:
      return boxes.clip(rois[rows], image_size)
    return self._moved(regression[rows, labels % regression.shape[1]], rois[rows], image_size)

  def refine(
    self, outputs: BoxOutputs, rois: Float[Array, 'B R 4'], image_size: Int[Array, 'B 2'], labels=None
  ) -> Float[Array, 'B R 4']:
    """Applies to each RoI the deltas of its class (default: the likeliest) and clips it; without gradient."""
    if labels is None:
      labels = self.scores(outputs).argmax(-1)
    return jax.lax.stop_gradient(jax.vmap(self._moved)(_of_class(outputs.regression, labels), rois, image_size))

  def refined_proposals(self, outputs: BoxOutputs, targets: RoITargets, image_size: Int[Array, 'B 2']) -> Proposals:
    """Training proposals of a cascade's next stage: RoIs refined by the deltas of their target class.

    Background RoIs use their likeliest class. With `cascade.resample` ground-truth boxes are left out, since the next
    stage adds them again (mmdetection); otherwise only RoIs that became empty are left out (Detectron2).
    """
    labels = jnp.where(targets.positive, targets.labels, self.scores(outputs).argmax(-1))
    moved = self.refine(outputs, targets.boxes, image_size, labels)
    kept = ~targets.is_gt_box if self.settings.cascade.resample else boxes.nonempty(moved, 0.0)
    valid = targets.valid & kept
    return Proposals(jnp.where(valid[..., None], moved, 0.0), jnp.zeros(valid.shape), valid)

  @property
  def coder(self) -> BoxCoder:
    """Box coder of the head's deltas, from `settings.coder`."""
    return make_coder(self.settings.coder)

  def _moved(
    self, regression: Float[Array, 'n 4'], rois: Float[Array, 'n 4'], image_size: Int[Array, '2']
  ) -> Float[Array, 'n 4']:
    if self.settings.clip_border:
      return self.coder.decode_clipped(regression, rois, image_size)
    return self.coder.decode(regression, rois)


def mean_box_loss(
  deltas: Float[Array, 'B R K|1 4'],
  targets: RoITargets,
  objects: Objects,
  coder: BoxCoder,
  loss: Mapping[str, Any],
) -> Float[Array, '']:
  """Regression loss `loss` summed over positives, divided by the number of sampled RoIs."""
  gt_boxes = jnp.take_along_axis(objects.boxes, targets.gt_index[..., None], axis=1)
  own = _of_class(deltas, targets.labels)
  total = regression_loss(own, targets.boxes, gt_boxes, targets.positive, coder, loss)
  return total / jnp.maximum(targets.valid.sum(), 1)


def class_loss_name(head: str) -> str:
  """Name of the state of a box head's class loss: 'class_loss0' for 'box_head0'."""
  return head.replace('box_head', 'class_loss')


def _of_class(deltas: Float[Array, 'B R K 4'], labels: Int[Array, 'B R']) -> Float[Array, 'B R 4']:
  """Deltas of each RoI's own class; class-agnostic deltas are used for every class."""
  index = jnp.minimum(labels, deltas.shape[2] - 1)
  return jnp.take_along_axis(deltas, index[..., None, None], axis=2)[:, :, 0]
