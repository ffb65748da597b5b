"""Detector without boxes: only tasks on the pyramid, such as a semantic head."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxdet.models.forward import Call, Losses
from jaxdet.models.preprocess import Preprocess
from jaxdet.models.pyramid_tasks.task import PyramidTask
from jaxdet.structures import Batch, Detections


@dataclasses.dataclass(frozen=True, eq=False)
class PyramidNetwork:
  """A detector with `backbone`, `neck` and the networks of its tasks."""

  preprocess: Preprocess
  networks: Mapping[str, nn.Module]
  tasks: tuple[PyramidTask, ...]

  def loss(self, call: Call, batch: Batch, key: Array) -> Losses:
    """Losses of the tasks."""
    pyramid, losses = self._pyramid(call, batch), {}
    for task in self.tasks:
      losses |= task.loss(call, task.outputs(call, pyramid), batch)
    return losses

  def predict(self, call: Call, batch: Batch) -> Detections:
    """Predictions of the tasks, without boxes (K is 0)."""
    pyramid, images = self._pyramid(call, batch), len(batch.valid)
    detections = Detections(
      boxes=jnp.zeros((images, 0, 4)),
      scores=jnp.zeros((images, 0)),
      labels=jnp.zeros((images, 0), jnp.int32),
      valid=jnp.zeros((images, 0), bool),
      masks=None,
      incomplete=jnp.zeros(images, bool),
    )
    for task in self.tasks:
      detections = task.predict(task.outputs(call, pyramid), detections)
    return detections

  def _pyramid(self, call: Call, batch: Batch) -> Mapping[int, Array]:
    return call('neck', call('backbone', self.preprocess(batch)))
