"""Balanced feature pyramid (Libra R-CNN, Pang et al., 2019): all levels get the same refined mean of all levels."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.non_local import NonLocal
from jaxdet.models.layers.upsample import resize_nearest
from jaxdet.models.necks.fpn import FPN
from jaxdet.ops.adaptive_pool import adaptive_max_pool

Pyramid = dict[int, Float[Array, 'B _ _ C']]


class BalancedPyramid(nn.Module):
  """A `pyramid` plus, at each level, the mean of its levels, refined by a non-local block `refinement`.

  The mean is taken, and refined, at the size of one level. Maps become smaller by maxima and larger by repetition.
  """

  pyramid: nn.Module
  refine_level: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: Pyramid, *, train: bool = False) -> Pyramid:
    levels = self.pyramid(features, train=train)
    if self.refine_level not in levels:
      raise ValueError(f'neck.refine_level is {self.refine_level}, but the pyramid has levels {sorted(levels)}')
    size = levels[self.refine_level].shape[1:3]
    gathered = [
      adaptive_max_pool(x, size) if level < self.refine_level else resize_nearest(x, size)
      for level, x in levels.items()
    ]
    refined = NonLocal(self.dtype, name='refinement')(sum(gathered) / len(gathered))
    return {
      level: x + (resize_nearest if level < self.refine_level else adaptive_max_pool)(refined, x.shape[1:3])
      for level, x in levels.items()
    }


def balanced_fpn(refine_level: int, dtype: jnp.dtype, **fpn: Any) -> BalancedPyramid:
  """A balanced feature pyramid network; `fpn` are the fields of `FPN`."""
  return BalancedPyramid(FPN(**fpn, dtype=dtype), refine_level, dtype)
