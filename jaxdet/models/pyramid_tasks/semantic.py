"""The semantic task: the class of every pixel of the image (Panoptic FPN, Kirillov et al., 2019)."""

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
  """Logits of pixels on a grid, by one network; their loss is taken at the full resolution of the canvas."""

  networks: Mapping[str, nn.Module]  # NETWORK alone
  loss_weight: float

  def outputs(self, call: Call, pyramid: Mapping[int, Float[Array, 'B _ _ C']]) -> Float[Array, 'B h w K']:
    """The logits."""
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
    """The detections with the logits; ops/semantic_map.py makes the classes of a file's pixels of them."""
    return detections.replace(semantic=outputs)


@jax.named_scope('semantic_loss')
def full_resolution_loss(logits: Float[Array, 'B h w K'], classes: Int[Array, 'B H W']) -> Float[Array, '']:
  """The mean cross entropy of all pixels that count, of logits interpolated between the centres of cells.

  The mean is over the pixels of the whole batch, where upstream takes it per GPU and averages those means.
  """
  return pixel_cross_entropy(upsample_bilinear(logits, classes.shape[1:]), classes)
