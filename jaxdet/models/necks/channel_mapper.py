"""Maps every backbone stage to the same number of channels, without paths between levels."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv
from jaxdet.models.layers.norm import norm

xavier = nn.initializers.xavier_uniform()


class ChannelMapper(nn.Module):
  """A 1 x 1 convolution of each stage; levels above the backbone's last by 3 x 3 convolutions of stride 2.

  The first of these reads the backbone's last stage. Submodules are `level<level>` with a norm `level<level>_norm`.
  """

  levels: tuple[int, ...]
  channels: int
  norm: str = ''  # '': none; else a kind of layers/norm.py
  use_bias: bool = True  # of the convolutions
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, features: dict[int, Float[Array, 'B _ _ _']], *, train: bool = False
  ) -> dict[int, Float[Array, 'B _ _ C']]:
    last = max(features)
    mapped = {}
    for level in self.levels:
      x = features[level] if level <= last else features[last] if level == last + 1 else mapped[level - 1]
      size, stride = (1, 1) if level <= last else (3, 2)
      name = f'level{level}'
      conv = Conv(self.channels, size, stride, use_bias=self.use_bias, kernel_init=xavier, dtype=self.dtype, name=name)
      x = conv(x)
      mapped[level] = norm(self.norm, train=train, dtype=self.dtype, name=f'{name}_norm')(x) if self.norm else x
    return mapped
