"""Precomputed proposals of the batch, as in Fast R-CNN (Girshick, 2015)."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
from jaxtyping import Array

from jaxdet.models.forward import Call, Losses
from jaxdet.structures import Batch, Proposals


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
  """Proposal generator without a network."""

  networks: Mapping[str, nn.Module] = dataclasses.field(default_factory=dict)

  def train(self, call: Call, pyramid: Mapping[int, Array], batch: Batch, keys: Array) -> tuple[Losses, Proposals]:
    """Returns no losses, and the batch's proposals."""
    return {}, self.propose(call, pyramid, batch)

  def propose(self, call: Call, pyramid: Mapping[int, Array], batch: Batch) -> Proposals:
    """Returns the batch's proposals.

    Raises:
      ValueError: the batch has none.
    """
    if batch.proposals is None:
      raise ValueError('this detector has no region proposal network: the batch must bring proposals')
    return batch.proposals
