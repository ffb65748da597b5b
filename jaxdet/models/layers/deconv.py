"""A transposed convolution in groups, as the one convolution that it is on the small map."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.ops.conv import conv2d

SIZE = 4  # of the kernel


class GroupedDeconv(nn.Module):
  """Transposed 4 x 4 convolution of stride 2, which doubles the side, padded as torch does with 1.

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
  """The kernel by which 3 x 3 pixels make the 2 x 2 that a transposed convolution has in the place of the middle one.

  Pixel (2 y + a, 2 x + b) is the output (a, b) of four at (y, x), which are side by side within their group. Along an
  axis the pixel before, the same and the one behind have kernel rows 3, 1 and none in it for a = 0; none, 2 and 0 for
  a = 1.
  """
  inputs, each = kernel.shape[2:]
  # Rows none, 0, .., 3, none from the last to the first are, two by two, those of a = 1 and a = 0.
  turned = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))[::-1, ::-1]
  parts = turned.reshape(3, 2, 3, 2, groups, inputs // groups, each)[:, ::-1, :, ::-1]
  return parts.transpose(0, 2, 5, 4, 1, 3, 6).reshape(3, 3, inputs // groups, -1)
