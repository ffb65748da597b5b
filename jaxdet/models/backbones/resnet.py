"""ResNet (He et al., 2016) and ResNeXt (Xie et al., 2017) backbones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv
from jaxdet.models.layers.frozen import is_frozen
from jaxdet.models.layers.norm import norm, standardizes
from jaxdet.models.layers.remat import apply_block
from jaxdet.models.layers.spatial_conv import spatial_conv

# depth: (bottleneck blocks?, blocks in the stages that end at strides 4, 8, 16 and 32)
DEPTHS = {
  18: (False, (2, 2, 2, 2)),
  34: (False, (3, 4, 6, 3)),
  50: (True, (3, 4, 6, 3)),
  101: (True, (3, 4, 23, 3)),
  152: (True, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
  """Features of strides 4 to 32 from normalised images, by stage.

  Submodules are `stem` and `stage2` to `stage5`, named by the level of their result (without dilation).

  Raises:
    ValueError: for an unknown depth, style or 3 x 3 convolution, or groups or another 3 x 3 convolution in a network
      of basic blocks.
  """

  depth: int
  style: str = 'pytorch'  # stride in a stage's first 3 x 3; 'caffe': in its first 1 x 1
  norm: str = 'frozen_bn'  # see layers/norm.py
  groups: int = 1
  group_width: int = 64  # channels of a group in stage 2, if the stem has 64
  stem_width: int = 64  # channels of the stem; the stages follow
  num_stages: int = 4  # 3: the last one is left to the RoI heads (see roi_heads/res5_head.py)
  dilate_last: bool = False  # the last stage keeps the size and has its 3 x 3 dilated by 2 (DC5)
  # The 3 x 3 convolution of bottlenecks, and in which stages, see layers/spatial_conv.py; elsewhere it is a plain one.
  conv3x3: Mapping[str, Any] = FrozenDict(name='plain')
  frozen: Sequence[str] = ()  # patterns of frozen parameters, see layers/frozen.py
  remat: str = ''  # of residual blocks, see layers/remat.py
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Float[Array, 'B H W 3'], train: bool) -> dict[int, Float[Array, 'B _ _ _']]:
    if self.depth not in DEPTHS:
      raise ValueError(f'no ResNet of depth {self.depth}: choose one of {sorted(DEPTHS)}')
    if self.style not in ('pytorch', 'caffe'):
      raise ValueError(f"unknown ResNet style '{self.style}': choose 'pytorch' or 'caffe'")
    if self.groups > 1 and not DEPTHS[self.depth][0]:
      raise ValueError(f'ResNet-{self.depth} has basic blocks, which have no groups, but groups is {self.groups}')
    if self.conv3x3['name'] != 'plain' and not DEPTHS[self.depth][0]:
      raise ValueError(f"ResNet-{self.depth} has basic blocks, whose conv3x3 is 'plain', not '{self.conv3x3['name']}'")

    frozen = is_frozen('backbone/stem', self.frozen)
    x = Stem(self.stem_width, *_layers(self, train and not frozen), name='stem')(images)
    # A frozen part's result is a constant, so that XLA drops its backward pass.
    x = jax.lax.stop_gradient(x) if frozen else x
    features = {}
    for level in range(2, 2 + self.num_stages):
      frozen = is_frozen(f'backbone/stage{level}', self.frozen)
      x = residual_stage(self, level, train and not frozen)(x)
      x = features[level] = jax.lax.stop_gradient(x) if frozen else x
    return features


def residual_stage(resnet: ResNet, level: int, train: bool) -> 'Stage':
  """Makes the residual blocks of `resnet` that end at `level`, as submodule `stage<level>` of the calling module."""
  bottleneck, depths = DEPTHS[resnet.depth]
  planes = resnet.stem_width * 2 ** (level - 2)
  if bottleneck:
    width = planes * resnet.group_width // 64 * resnet.groups
    block = partial(Bottleneck, 4 * planes, width, caffe=resnet.style == 'caffe', groups=resnet.groups)
  else:
    block = partial(BasicBlock, planes)
  dilated = resnet.dilate_last and level == 5
  conv, norm_layer = _layers(resnet, train)
  if bottleneck:
    block = partial(block, conv3x3=spatial_conv(resnet.conv3x3, level, plain=conv, dtype=resnet.dtype))
  block = partial(block, dilation=2 if dilated else 1, conv=conv, norm=norm_layer)
  return Stage(depths[level - 2], 1 if level == 2 or dilated else 2, block, resnet.remat, name=f'stage{level}')


def _layers(resnet: ResNet, train: bool) -> tuple[Callable[..., nn.Module], Callable[..., nn.Module]]:
  conv = partial(Conv, use_bias=False, standardize=standardizes(resnet.norm), dtype=resnet.dtype)
  return conv, partial(norm, resnet.norm, train=train, dtype=resnet.dtype)


def residual_blocks(depth: int, levels: Sequence[int] = (2, 3, 4, 5)) -> Iterator[tuple[int, int, int, bool]]:
  """Yields (level, index, number of convolutions, has projected shortcut) of every block of these levels."""
  bottleneck, depths = DEPTHS[depth]
  for level in levels:
    for index in range(depths[level - 2]):
      yield level, index, 3 if bottleneck else 2, index == 0 and (bottleneck or level > 2)


class Stem(nn.Module):
  """7 x 7 convolution and max pooling, each of stride 2."""

  features: int
  conv: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W 3']) -> Float[Array, 'B H/4 W/4 C']:
    x = nn.relu(self.norm(name='norm')(self.conv(self.features, 7, 2, name='conv')(x)))
    return nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))


class Stage(nn.Module):
  """Residual blocks of one width; the first changes stride and channels."""

  depth: int
  stride: int
  block: Callable[..., nn.Module]
  remat: str

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H2 W2 F']:
    for i in range(self.depth):
      x = apply_block(self.remat, self.block(stride=self.stride if i == 0 else 1, name=f'block{i}'), x)
    return x


class Bottleneck(nn.Module):
  """1 x 1, 3 x 3 and 1 x 1 convolution, plus a shortcut."""

  features: int
  width: int  # channels of the 3 x 3
  stride: int
  caffe: bool  # the stride is in the first 1 x 1, not in the 3 x 3
  groups: int
  dilation: int
  conv: Callable[..., nn.Module]
  conv3x3: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H2 W2 F']:
    first, second = (self.stride, 1) if self.caffe else (1, self.stride)
    y = nn.relu(self.norm(name='norm1')(self.conv(self.width, 1, first, name='conv1')(x)))
    y = nn.relu(
      self.norm(name='norm2')(self.conv3x3(self.width, 3, second, self.groups, self.dilation, name='conv2')(y))
    )
    y = self.norm(name='norm3', ends_branch=True)(self.conv(self.features, 1, name='conv3')(y))
    return nn.relu(y + _shortcut(self, x))


class BasicBlock(nn.Module):
  """Two 3 x 3 convolutions, plus a shortcut."""

  features: int
  stride: int
  dilation: int
  conv: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H2 W2 F']:
    y = nn.relu(self.norm(name='norm1')(self.conv(self.features, 3, self.stride, 1, self.dilation, name='conv1')(x)))
    y = self.norm(name='norm2', ends_branch=True)(self.conv(self.features, 3, name='conv2')(y))
    return nn.relu(y + _shortcut(self, x))


def _shortcut(block: Bottleneck | BasicBlock, x: Float[Array, 'B H W C']) -> Float[Array, 'B H2 W2 F']:
  """The block's input, projected if the block changes its shape."""
  if block.stride == 1 and x.shape[-1] == block.features:
    return x
  y = block.conv(block.features, 1, block.stride, name='shortcut_conv')(x)
  return block.norm(name='shortcut_norm')(y)
