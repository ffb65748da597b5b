"""Deformable convolution layer with learned offsets (Dai et al., 2017; Zhu et al., 2019)."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv, at_least_float32, he_normal
from jaxdet.ops.deformable_conv import deformable_conv


class DeformableConv(nn.Module):
  """Square deformable convolution (`kernel`, `bias`); a plain convolution `offset` predicts its samples' offsets.

  Channels of `offset`: (y, x) of each sample, group after group; with version 'v2' then a logit of each sample's
  factor.
  """

  version: str  # 'v1' or 'v2'
  offset_groups: int  # of input channels, each with its own offsets
  features: int
  size: int = 3
  stride: int = 1
  groups: int = 1
  dilation: int = 1
  use_bias: bool = False
  kernel_init: Callable = he_normal
  offset_init: Callable = nn.initializers.zeros
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H2 W2 F']:
    if self.version not in ('v1', 'v2'):
      raise ValueError(f"unknown deformable convolution '{self.version}': choose v1 or v2")
    shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
    kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
    samples = self.offset_groups * self.size**2
    offset = Conv(
      samples * (2 if self.version == 'v1' else 3),
      self.size,
      self.stride,
      dilation=self.dilation,
      kernel_init=self.offset_init,
      dtype=self.dtype,
      name='offset',
    )
    moved, logits = jnp.split(at_least_float32(offset(x)), [2 * samples], -1)
    moved = moved.reshape(*moved.shape[:3], self.offset_groups, -1, 2)
    modulation = jax.nn.sigmoid(logits).reshape(moved.shape[:-1]) if self.version == 'v2' else None
    x = x.astype(self.dtype)
    y = deformable_conv(x, kernel, moved, modulation, self.stride, self.dilation, self.groups)
    if self.use_bias:
      y = y + self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
    return y
