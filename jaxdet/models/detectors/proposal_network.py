"""Region proposal network as a detector of its own (Ren et al., 2015): class-agnostic boxes."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxdet.models.detectors.two_stage import ProposalGenerator
from jaxdet.models.forward import Call, Losses
from jaxdet.models.preprocess import Preprocess
from jaxdet.models.random_keys import image_keys
from jaxdet.structures import Batch, Detections


@dataclasses.dataclass(frozen=True, eq=False)
class ProposalNetwork:
  """A detector with `backbone`, `neck` and the networks of a proposal generator."""

  preprocess: Preprocess
  networks: Mapping[str, nn.Module]
  proposals: ProposalGenerator

  def loss(self, call: Call, batch: Batch, key: Array) -> Losses:
    """The losses of the proposal generator."""
    return self.proposals.train(call, self._pyramid(call, batch), batch, image_keys(key, batch))[0]

  def predict(self, call: Call, batch: Batch) -> Detections:
    """Proposals, best first, as detections of class 0 with their objectness probability as score."""
    proposals = self.proposals.propose(call, self._pyramid(call, batch), batch)
    return Detections(
      boxes=proposals.boxes,
      scores=jnp.where(proposals.valid, jax.nn.sigmoid(proposals.logits), 0.0),
      labels=jnp.zeros(proposals.valid.shape, jnp.int32),
      valid=proposals.valid,
      masks=None,
      incomplete=jnp.zeros(proposals.valid.shape[0], bool),
    )

  def _pyramid(self, call: Call, batch: Batch) -> Mapping[int, Array]:
    return call('neck', call('backbone', self.preprocess(batch)))
