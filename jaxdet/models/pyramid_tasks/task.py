"""The interface of tasks on the pyramid: what is predicted of a whole image rather than of RoIs."""

from collections.abc import Mapping
from typing import Any, Protocol

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdet.models.forward import Call, Losses
from jaxdet.structures import Batch, Detections


class PyramidTask(Protocol):
  """Something that is predicted of images from their feature pyramid: the class of every pixel.

  A detector whose RoIs see features of the task, too, calls `outputs` once and takes from them what it needs.
  """

  networks: Mapping[str, nn.Module]

  def outputs(self, call: Call, pyramid: Mapping[int, Float[Array, 'B _ _ C']]) -> Any:
    """The outputs of the task's networks."""

  def loss(self, call: Call, outputs: Any, batch: Batch) -> Losses:
    """The losses of the task."""

  def predict(self, outputs: Any, detections: Detections) -> Detections:
    """The detections with what the task predicts."""
