"""RoIAlign on the pyramid level that suits each RoI's size (He et al., 2017; Lin et al., 2017)."""

import dataclasses
from collections.abc import Mapping
from functools import partial

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdet.models.forward import Call
from jaxdet.ops.roi_align import multilevel_roi_align

Levels = Mapping[int, Float[Array, 'B _ _ C']]


@dataclasses.dataclass(frozen=True)
class RoIAlign:
  """Pools S x S features of every RoI."""

  levels: tuple[int, ...]  # pyramid levels to pool from
  size: int  # S
  sampling_ratio: int  # samples per bin and axis; 0: as many as it has feature pixels
  aligned: bool  # see ops/roi_align.py
  canonical_size: float  # side in pixels of RoIs on `canonical_level`
  canonical_level: int

  @property
  def networks(self) -> Mapping[str, nn.Module]:
    return {}

  def __call__(self, call: Call, pyramid: Levels, boxes: Float[Array, 'B R 4']) -> Float[Array, 'B R S S C']:
    pool = partial(
      multilevel_roi_align,
      output_size=self.size,
      sampling_ratio=self.sampling_ratio,
      aligned=self.aligned,
      canonical_size=self.canonical_size,
      canonical_level=self.canonical_level,
    )
    return call.step('RoIAlign', pool, {level: pyramid[level] for level in self.levels}, boxes, gradient=1)
