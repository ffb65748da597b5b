"""The extra layers of SSD (Liu et al., 2016): ever smaller maps after the backbone's last."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv, at_least_float32
from jaxdet.models.layers.normed import normed

xavier = nn.initializers.xavier_uniform()


class SSDNeck(nn.Module):
  """The backbone's maps, the first with pixels of a learned length, and a level from each pair of convolutions.

  A pair is a 1 x 1 to half of the channels and a larger one to all. Submodules are `l2_norm`, and `reduce<level>` and
  `output<level>` of the levels above the backbone's.
  """

  channels: Sequence[int]  # of the levels above the backbone's
  strides: Sequence[int]  # of the second convolutions
  padding: Sequence[int]  # of the same; one that is less than half of a kernel has stride 1
  last_size: int = 3  # of the last level's second convolution; the others are 3 x 3
  scale: float = 20.0  # the length of the first map's pixels that training begins with
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, features: dict[int, Float[Array, 'B _ _ _']], *, train: bool = False
  ) -> dict[int, Float[Array, 'B _ _ _']]:
    del train  # there is no norm of the batch
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
  """Pixels divided by their length over the channels, times a learned factor a channel (Liu et al., 2015)."""

  initial: float

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H W C']:
    scale = self.param('scale', nn.initializers.constant(self.initial), x.shape[-1:], jnp.float32)
    return (scale * normed(at_least_float32(x), -1, eps=1e-10)).astype(x.dtype)


def without_border(x: Float[Array, 'B H W C'], border: int, stride: int) -> Float[Array, 'B H2 W2 C']:
  """The result of a convolution that was padded by `border` pixels less than Conv pads.

  Raises:
    ValueError: with a border and a stride, of which the pixels would be others.
  """
  if not border:
    return x
  if border < 0 or stride > 1:
    raise ValueError(f'a convolution of stride {stride} whose padding is {border} less than half of its kernel')
  return x[:, border:-border, border:-border]
