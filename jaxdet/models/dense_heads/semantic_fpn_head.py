"""Semantic head of Panoptic FPN (Kirillov et al., 2019): sums all levels at the finest resolution."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv
from jaxdet.models.layers.conv_norm import conv_norm
from jaxdet.models.layers.upsample import upsample_bilinear


class SemanticFPNHead(nn.Module):
  """Predicts logits [B, h, w, K] at the resolution of the finest level.

  Every level passes one convolution and 2x upsampling per step to the finest level, which passes one convolution.
  Submodules are `level<l>_conv<i>`, their norms, and `logits`.
  """

  num_classes: int  # K
  levels: tuple[int, ...] = (2, 3, 4, 5)  # consecutive
  channels: int = 128
  norm: str = 'gn'  # of layers/norm.py; '': none
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: dict[int, Float[Array, 'B _ _ C']], *, train: bool = False) -> Float[Array, 'B h w K']:
    finest, total = min(self.levels), 0.0
    for level in self.levels:
      x = features[level]
      for i in range(max(level - finest, 1)):
        name = f'level{level}_conv{i}'
        x = nn.relu(conv_norm(x, self.channels, norm=self.norm, train=train, name=name, dtype=self.dtype))
        if level > finest:
          x = upsample_bilinear(x, (2 * x.shape[1], 2 * x.shape[2]))
      total += x
    output_dtype = jnp.promote_types(self.dtype, jnp.float32)
    return Conv(self.num_classes, 1, dtype=self.dtype, output_dtype=output_dtype, name='logits')(total)
