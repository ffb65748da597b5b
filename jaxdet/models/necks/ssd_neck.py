"""Extra layers of SSD (Liu et al., 2016): smaller and smaller maps after the backbone's last."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv, at_least_float32
from jaxdet.models.layers.normed import normed

xavier = nn.initializers.xavier_uniform()


class SSDNeck(nn.Module):
  """The backbone's maps, the first L2-normalised, and one level from each pair of convolutions.

  A pair is a 1 x 1 to half of the channels and a larger one to all channels. Submodules are `l2_norm`, and
  `reduce<level>` and `output<level>` of the levels above the backbone's.
  """

  channels: Sequence[int]  # of the levels above the backbone's
  strides: Sequence[int]  # of the second convolutions
  padding: Sequence[int]  # of the second convolutions; less than half of the kernel only with stride 1
  last_size: int = 3  # kernel size of the last level's second convolution; the others are 3 x 3
  scale: float = 20.0  # initial factor of the first map's L2 norm
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, features: dict[int, Float[Array, 'B _ _ _']], *, train: bool = False
  ) -> dict[int, Float[Array, 'B _ _ _']]:
    del train  # there is no batch norm
    first, last = min(features), max(features)
    levels = {**features, first: L2Norm(self.scale, name='l2_norm')(features[first])}
    x, end = features[last], last + len(self.channels)
    above = zip(range(last + 1, end + 1), self.channels, self.strides, self.padding, strict=True)
    for level, channels, stride, padding in above:
      size = self.last_size if level == end else 3
      options = {'kernel_init': xavier, 'dtype': self.dtype}
      x = nn.relu(Conv(channels // 2, 1, **options, name=f'reduce{level}')(x))
      x = Conv(channels, size, stride, **options, name=f'output{level}')(x)
      x = levels[level] = nn.relu(without_border(x, size // 2 - padding, stride))
    return levels


class L2Norm(nn.Module):
  """Divides each pixel by its L2 norm over channels, times a learned factor per channel (Liu et al., 2015)."""

  initial: float

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H W C']:
    scale = self.param('scale', nn.initializers.constant(self.initial), x.shape[-1:], jnp.float32)
    return (scale * normed(at_least_float32(x), -1, eps=1e-10)).astype(x.dtype)


def without_border(x: Float[Array, 'B H W C'], border: int, stride: int) -> Float[Array, 'B H2 W2 C']:
  """Crops `border` pixels per side: the result of a convolution with so much less padding than Conv's.

  Raises:
    ValueError: a border together with a stride above 1, where cropping would give other pixels.
  """
  if not border:
    return x
  if border < 0 or stride > 1:
    raise ValueError(f'a convolution of stride {stride} whose padding is {border} less than half of its kernel')
  return x[:, border:-border, border:-border]
