"""Semantic segmentation as a task on the pyramid (Panoptic FPN, Kirillov et al., 2019)."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Int

from jaxdet.losses.pixel_cross_entropy import pixel_cross_entropy
from jaxdet.models.forward import Call, Losses
from jaxdet.models.layers.upsample import upsample_bilinear
from jaxdet.structures import Batch, Detections

NETWORK = 'semantic_head'


@dataclasses.dataclass(frozen=True, eq=False)
class SemanticTask:
  """Predicts semantic logits on a grid by one network; the loss is computed at the full resolution of the canvas."""

  networks: Mapping[str, nn.Module]  # only NETWORK
  loss_weight: float

  def outputs(self, call: Call, pyramid: Mapping[int, Float[Array, 'B _ _ C']]) -> Float[Array, 'B h w K']:
    """Semantic logits."""
    return call(NETWORK, pyramid)

  def loss(self, call: Call, outputs: Float[Array, 'B h w K'], batch: Batch) -> Losses:
    """`loss_semantic`; raises ValueError for a batch without a semantic map."""
    if batch.semantic is None:
      raise ValueError(
        'the semantic task is trained on the class of every pixel, which the batch lacks: give the data set its '
        "semantic maps, or take 'semantic' out of model.pyramid_tasks"
      )
    loss = call.step('semantic loss', full_resolution_loss, outputs, batch.semantic, gradient=1)
    return {'loss_semantic': self.loss_weight * loss}

  def predict(self, outputs: Float[Array, 'B h w K'], detections: Detections) -> Detections:
    """Adds the logits to detections; ops/semantic_map.py computes the classes of a file's pixels from them."""
    return detections.replace(semantic=outputs)


@jax.named_scope('semantic_loss')
def full_resolution_loss(logits: Float[Array, 'B h w K'], classes: Int[Array, 'B H W']) -> Float[Array, '']:
  """Mean cross entropy of all valid pixels; logits are interpolated bilinearly between cell centres.

  The mean is over all pixels of the batch; upstream averages the means of GPUs.
  """
  return pixel_cross_entropy(upsample_bilinear(logits, classes.shape[1:]), classes)
