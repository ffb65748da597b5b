"""VGG (Simonyan & Zisserman, 2015) as in SSD (Liu et al., 2016): the first two linear layers are convolutions."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv
from jaxdet.models.layers.frozen import is_frozen
from jaxdet.models.layers.remat import apply_block

DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # convolutions by stage
FC6_DILATION = 6  # fc6's 3 x 3 kernel is every third weight of the linear layer's 7 x 7


class VGG(nn.Module):
  """Features of strides 8 (stage 4, conv4_3) and 16 (fc7) from normalised images, as levels 3 and 4.

  Submodules are `stage1` to `stage5`, `fc6` and `fc7`.

  Raises:
    ValueError: for an unknown depth.
  """

  depth: int
  width: int = 64  # channels of the first stage; doubled per stage, up to eight times as many
  fc_channels: int = 1024
  frozen: Sequence[str] = ()  # patterns of frozen parameters, see layers/frozen.py
  remat: str = ''  # of stages, see layers/remat.py
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Float[Array, 'B H W 3'], *, train: bool = False) -> dict[int, Float[Array, 'B _ _ _']]:
    del train  # there is no norm
    if self.depth not in DEPTHS:
      raise ValueError(f'no VGG of depth {self.depth}: choose one of {sorted(DEPTHS)}')
    x, features = images, {}
    for stage, depth in enumerate(DEPTHS[self.depth], start=1):
      x = pool(x) if stage > 1 else x
      x = apply_block(self.remat, Stage(depth, self._channels(stage), self.dtype, name=f'stage{stage}'), x)
      # A frozen part's result is a constant, so that XLA drops its backward pass.
      x = jax.lax.stop_gradient(x) if is_frozen(f'backbone/stage{stage}', self.frozen) else x
      if stage == 4:
        features[3] = x
    x = nn.max_pool(x, (3, 3), padding='SAME')
    x = nn.relu(Conv(self.fc_channels, dilation=FC6_DILATION, dtype=self.dtype, name='fc6')(x))
    features[4] = nn.relu(Conv(self.fc_channels, 1, dtype=self.dtype, name='fc7')(x))
    return features

  def _channels(self, stage: int) -> int:
    return self.width * min(2 ** (stage - 1), 8)


class Stage(nn.Module):
  """3 x 3 convolutions of one width."""

  depth: int
  channels: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W _']) -> Float[Array, 'B H W C']:
    for i in range(self.depth):
      x = nn.relu(Conv(self.channels, dtype=self.dtype, name=f'conv{i}')(x))
    return x


def pool(x: Float[Array, 'B H W C']) -> Float[Array, 'B H2 W2 C']:
  """Max pooling of 2 x 2 pixels with stride 2; odd sizes are rounded up, as in Caffe."""
  height, width = x.shape[1:3]
  return nn.max_pool(x, (2, 2), (2, 2), padding=((0, height % 2), (0, width % 2)))
