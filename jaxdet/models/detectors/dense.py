"""Dense one-stage detectors: classify and regress every anchor or point of every level."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdet.models.dense_methods.method import DenseMethod
from jaxdet.models.dense_methods.predictions import Outputs
from jaxdet.models.forward import Call, Losses
from jaxdet.models.preprocess import Preprocess
from jaxdet.structures import Batch, Detections

MASK_BRANCH = 'mask_branch'  # optional second network on the pyramid, for mask prototypes


@dataclasses.dataclass(frozen=True, eq=False)
class DenseDetector:
  """A detector with `backbone`, `neck`, `head`, optionally MASK_BRANCH, and the method for their outputs."""

  preprocess: Preprocess
  networks: Mapping[str, nn.Module]
  method: DenseMethod

  def loss(self, call: Call, batch: Batch, key: Array) -> Losses:
    """The losses of the method."""
    return self.method.loss(call, self._outputs(call, self.preprocess(batch)), batch, key)

  def predict(self, call: Call, batch: Batch) -> Detections:
    """Detections in pixels of the resized image."""
    images = self.method.place(self.preprocess(batch), batch.image_size)
    return self.method.detect(call, self._outputs(call, images), batch)

  def _outputs(self, call: Call, images: Float[Array, 'B H W 3']) -> Outputs:
    pyramid = call('neck', call('backbone', images))
    outputs = call('head', pyramid)
    if MASK_BRANCH in self.networks:
      outputs = {**outputs, **call(MASK_BRANCH, pyramid)}
    return outputs
