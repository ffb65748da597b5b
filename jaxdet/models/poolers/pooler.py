"""Interface of poolers: from a pyramid and RoIs to features of one size."""

from collections.abc import Mapping
from typing import Protocol

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdet.models.forward import Call


class Pooler(Protocol):
  """Pools S x S features of every RoI."""

  @property
  def networks(self) -> Mapping[str, nn.Module]:
    """Networks that the pooler calls, by name."""

  def __call__(
    self, call: Call, pyramid: Mapping[int, Array], boxes: Float[Array, 'B R 4']
  ) -> Float[Array, 'B R S S C']: ...
