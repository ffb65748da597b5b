"""Grouped transposed convolution, computed as an ordinary convolution on the small map."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.ops.conv import conv2d

SIZE = 4  # of the kernel


class GroupedDeconv(nn.Module):
  """Transposed 4 x 4 convolution of stride 2, which doubles the sides; padding 1 as in torch.

  Group g makes outputs [g * F / groups, (g + 1) * F / groups) of inputs [g * C / groups, (g + 1) * C / groups).
  Parameters are `kernel` (4, 4, C, F / groups) and `bias` (F,), both float32.
  """

  features: int
  groups: int = 1
  kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.001)
  bias_init: nn.initializers.Initializer = nn.initializers.zeros
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, 'N H W C']) -> Float[Array, 'N 2*H 2*W F']:
    images, height, width, channels = x.shape
    shape = (SIZE, SIZE, channels, self.features // self.groups)
    kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
    bias = self.param('bias', self.bias_init, (self.features,), jnp.float32)
    quarters = quarter_kernels(kernel, self.groups).astype(self.dtype)
    y = conv2d(x.astype(self.dtype), quarters, groups=self.groups)
    y = y.reshape(images, height, width, self.groups, 2, 2, -1).transpose(0, 1, 4, 2, 5, 3, 6)
    return y.reshape(images, 2 * height, 2 * width, -1) + bias.astype(self.dtype)


def quarter_kernels(kernel: Float[Array, '4 4 C f'], groups: int) -> Float[Array, '3 3 C/groups 4*F']:
  """Kernel of the ordinary convolution: from 3 x 3 input pixels to the 2 x 2 output pixels of the middle one.

  Output pixel (2 y + a, 2 x + b) is output (a, b) of four at (y, x), which are adjacent within their group. Along an
  axis, the previous, the same and the next pixel have kernel rows 3, 1 and none for a = 0; none, 2 and 0 for a = 1.
  """
  inputs, each = kernel.shape[2:]
  # The padded rows in reverse order alternate between a = 1 and a = 0.
  turned = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))[::-1, ::-1]
  parts = turned.reshape(3, 2, 3, 2, groups, inputs // groups, each)[:, ::-1, :, ::-1]
  return parts.transpose(0, 2, 5, 4, 1, 3, 6).reshape(3, 3, inputs // groups, -1)
