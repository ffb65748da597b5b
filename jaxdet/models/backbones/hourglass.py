"""Stacked hourglass network (Newell et al., 2016), as in CornerNet (Law & Deng, 2018): two stacks, without pooling.

An hourglass halves a map repeatedly, then upsamples it again; at every size a skip connection adds the map of the way
down. The input of the next hourglass combines input and output of the one before.
"""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.backbones.resnet import BasicBlock
from jaxdet.models.layers.conv import Conv, torch_uniform
from jaxdet.models.layers.conv_norm import conv_norm
from jaxdet.models.layers.frozen import is_frozen
from jaxdet.models.layers.norm import norm
from jaxdet.models.layers.remat import apply_block
from jaxdet.models.layers.upsample import upsample_nearest

Map = Float[Array, 'B _ _ _']


class Hourglass(nn.Module):
  """Computes features of stride 4 of each stack from normalised images; levels are the stacks' numbers, from 0.

  Submodules are `stem`, `stem_norm` and `stem_block`, `stack<i>` and `output<i>` of each stack, and between stacks
  `passed<i>`, `returned<i>` and `merged<i>`; the norm of a convolution has its name with `_norm`.
  """

  stacks: int
  channels: Sequence[int]  # of each size, from stride 4 on
  blocks: Sequence[int]  # residual blocks of each size, in every branch
  features: int  # channels of the output
  norm: str  # see layers/norm.py
  frozen: Sequence[str] = ()  # patterns of frozen parameters, see layers/frozen.py
  remat: str = ''  # of residual blocks, see layers/remat.py
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Float[Array, 'B H W 3'], train: bool) -> dict[int, Map]:
    first, features = self.channels[0], {}

    def trains(part: str) -> bool:
      return train and not is_frozen(f'backbone/{part}', self.frozen)

    def conv(x: Map, channels: int, size: int, name: str, stride: int = 1) -> Map:
      settings = {'norm': self.norm, 'kernel_init': torch_uniform, 'dtype': self.dtype}
      return conv_norm(x, channels, size, stride=stride, train=trains(f'{name}_norm'), name=name, **settings)

    def block(x: Map, name: str, stride: int = 1) -> Map:
      return apply_block(self.remat, self._block(trains(name))(first, stride=stride, name=name), x)

    x = block(nn.relu(conv(images, first // 2, 7, 'stem', stride=2)), 'stem_block', stride=2)
    for i in range(self.stacks):
      name = f'stack{i}'
      stack = Stack(self.channels, self.blocks, self._block(trains(name)), self.remat, name=name)
      features[i] = nn.relu(conv(stack(x), self.features, 3, f'output{i}'))
      if i < self.stacks - 1:
        x = block(nn.relu(conv(x, first, 1, f'passed{i}') + conv(features[i], first, 1, f'returned{i}')), f'merged{i}')
    return features

  def _block(self, train: bool) -> Callable[..., nn.Module]:
    conv = partial(Conv, use_bias=False, kernel_init=torch_uniform, dtype=self.dtype)
    return partial(BasicBlock, dilation=1, conv=conv, norm=partial(norm, self.norm, train=train, dtype=self.dtype))


class Stack(nn.Module):
  """One hourglass; submodules are `beside<d>`, `down<d>` and `up<d>` of each size d but the last, and `bottom`."""

  channels: Sequence[int]
  blocks: Sequence[int]
  block: Callable[..., nn.Module]
  remat: str

  @nn.compact
  def __call__(self, x: Map) -> Map:
    beside = []
    sizes = range(len(self.channels) - 1)
    for d in sizes:
      here, below = self.channels[d : d + 2]
      count = self.blocks[d]
      beside.append(self._residual(f'beside{d}', [here] * count)(x))
      x = self._residual(f'down{d}', [below] * count, stride=2)(x)
    x = self._residual('bottom', [self.channels[-1]] * self.blocks[-1])(x)
    for d in reversed(sizes):
      here, below = self.channels[d : d + 2]
      x = self._residual(f'up{d}', [below] * (self.blocks[d] - 1) + [here])(x)
      x = beside[d] + upsample_nearest(x, beside[d].shape[1:3])
    return x

  def _residual(self, name: str, channels: Sequence[int], stride: int = 1) -> 'Blocks':
    return Blocks(channels, stride, self.block, self.remat, name=name)


class Blocks(nn.Module):
  """Residual blocks `block<i>` with these channels; the first one has the stride."""

  channels: Sequence[int]
  stride: int
  block: Callable[..., nn.Module]
  remat: str

  @nn.compact
  def __call__(self, x: Map) -> Map:
    for i, channels in enumerate(self.channels):
      x = apply_block(self.remat, self.block(channels, stride=1 if i else self.stride, name=f'block{i}'), x)
    return x
