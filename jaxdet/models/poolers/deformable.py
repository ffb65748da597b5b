"""Deformable RoI pooling with learned offsets of the bins (Dai et al., 2017; Zhu et al., 2019)."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdet.models.forward import Call

NETWORK = 'roi_pool'


@dataclasses.dataclass(frozen=True, eq=False)
class DeformablePooler:
  """Pools S x S features of every RoI by the network `roi_pool` (roi_heads/deformable_roi_pool.py)."""

  levels: tuple[int, ...]  # pyramid levels to pool from
  networks: Mapping[str, nn.Module]

  def __call__(
    self, call: Call, pyramid: Mapping[int, Array], boxes: Float[Array, 'B R 4']
  ) -> Float[Array, 'B R S S C']:
    return call(NETWORK, {level: pyramid[level] for level in self.levels}, boxes)
