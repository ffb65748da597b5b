"""Interface of tasks on the pyramid: predictions for whole images rather than RoIs."""

from collections.abc import Mapping
from typing import Any, Protocol

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdet.models.forward import Call, Losses
from jaxdet.structures import Batch, Detections


class PyramidTask(Protocol):
  """A prediction for images from their feature pyramid, such as the class of every pixel.

  A detector whose RoI heads also use features of the task calls `outputs` once for both.
  """

  networks: Mapping[str, nn.Module]

  def outputs(self, call: Call, pyramid: Mapping[int, Float[Array, 'B _ _ C']]) -> Any:
    """Outputs of the task's networks."""

  def loss(self, call: Call, outputs: Any, batch: Batch) -> Losses:
    """Losses of the task."""

  def predict(self, outputs: Any, detections: Detections) -> Detections:
    """Adds the task's prediction to detections."""
