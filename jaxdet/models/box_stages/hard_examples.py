"""Online hard example mining (Shrivastava et al., 2016): a box stage trained on the RoIs with the largest class losses.

The head runs on all proposals first, without gradient, and then on those that were chosen.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdet.assign.tables import LOSS_SAMPLERS
from jaxdet.losses.class_loss import ClassLoss
from jaxdet.models.box_stages.standard import StandardStage, class_loss_name
from jaxdet.models.forward import Call
from jaxdet.models.roi_targets import RoITargets
from jaxdet.ops.per_image import per_image
from jaxdet.parts import find_with_settings
from jaxdet.structures import Batch, Proposals

EVERY_ROW = {'name': 'random', 'num': 0, 'positive_fraction': 1.0}


@dataclasses.dataclass(frozen=True, eq=False)
class HardExampleStage(StandardStage):
  """A standard stage whose `settings.sampler` is one of LOSS_SAMPLERS."""

  def label(
    self, call: Call, pyramid: Mapping[int, Array], proposals: Proposals, batch: Batch, keys: Array
  ) -> RoITargets:
    """Assigns targets to all proposals, and takes those with the largest class losses."""
    sample, settings = find_with_settings(LOSS_SAMPLERS, self.settings.sampler, 'roi.sampler.name')
    every = self._sampled(call, EVERY_ROW, proposals, batch, keys)
    features = self.features(call, jax.lax.stop_gradient(pyramid), every.boxes)
    logits = self.outputs(call, features, every.boxes).logits
    state = call.state(class_loss_name(self.head), lambda: self.class_loss.state)

    def hardest(logits: Float[Array, 'B P C'], every: RoITargets, state) -> RoITargets:
      losses = each_loss(self.class_loss, logits, every.labels, keys[0], state)

      def one_image(losses: Float[Array, 'P'], every: RoITargets) -> RoITargets:
        rows = sample(every.positive.astype(jnp.int32), every.valid, losses, **settings)
        chosen = jax.tree.map(lambda x: x[rows.index], every)
        return mark_padding(chosen, rows.valid, self.num_classes)

      return per_image(one_image)(losses, every)

    chosen = call.step('hard examples', jax.named_scope('hard_examples')(hardest), logits, every, state, gradient=0)
    return jax.lax.stop_gradient(chosen)


def each_loss(
  class_loss: ClassLoss, logits: Float[Array, 'B P C'], labels: Int[Array, 'B P'], key: Array, state
) -> Float[Array, 'B P']:
  """Class loss of every RoI as if it were alone."""

  def alone(logits: Float[Array, 'C'], label: Int[Array, '']) -> Float[Array, '']:
    return class_loss.loss(logits[None, None], label[None, None], jnp.ones((1, 1), bool), key, state)[0]

  return jax.vmap(jax.vmap(alone))(logits, labels)


def mark_padding(targets: RoITargets, valid: Array, background: int) -> RoITargets:
  """Targets of one image whose rows are padding where `valid` is False."""
  return targets.replace(
    boxes=jnp.where(valid[:, None], targets.boxes, 0.0),
    labels=jnp.where(valid, targets.labels, background),
    positive=targets.positive & valid,
    is_gt_box=targets.is_gt_box & valid,
    valid=targets.valid & valid,
  )
