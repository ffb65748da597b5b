"""Convolution with torch's padding; 1 x 1 kernels are matrix products."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.ops.conv import conv2d, pointwise

# Initialisers of detectors, by their usual names.
he_normal = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')  # torchvision's ResNet, Caffe2's MSRA
caffe2_xavier = nn.initializers.variance_scaling(1.0, 'fan_in', 'uniform')
torch_uniform = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')  # of torch's own layers


class Conv(nn.Module):
  """Square convolution over the two axes before the last, zero padded so that stride 1 keeps the size.

  An even input of side n with stride 2 gives n / 2, as in torch; XLA's 'SAME' pads such an input on one side
  only. Parameters are `kernel` (size, size, in / groups, out) and `bias` (out,), both float32.
  """

  features: int
  size: int = 3
  stride: int = 1
  groups: int = 1
  dilation: int = 1
  standardize: bool = False  # the kernel, see `standardized`
  use_bias: bool = True
  kernel_init: Callable = he_normal
  bias_init: Callable = nn.initializers.zeros
  dtype: jnp.dtype = jnp.float32  # of the operands
  output_dtype: jnp.dtype | None = None  # None: as dtype

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H2 W2 F']:
    output_dtype = self.output_dtype or self.dtype
    shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
    kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
    kernel = (standardized(kernel) if self.standardize else kernel).astype(self.dtype)
    x = x.astype(self.dtype)
    if self.size == 1 and self.groups == 1:
      y = pointwise(x[:, :: self.stride, :: self.stride], kernel[0, 0], output_dtype)
    else:
      y = conv2d(x, kernel, stride=self.stride, dilation=self.dilation, groups=self.groups).astype(output_dtype)
    if self.use_bias:
      y = y + self.param('bias', self.bias_init, (self.features,), jnp.float32).astype(output_dtype)
    return y


def at_least_float32(x: Float[Array, '...']) -> Float[Array, '...']:
  """Converts bfloat16 to float32; keeps float64, which is used to find whose rounding a difference is."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def standardized(kernel: Float[Array, 'S S I O']) -> Float[Array, 'S S I O']:
  """Weight standardisation (Qiao et al., 2019): mean 0 and standard deviation 1 over each output channel's weights.

  As in mmcv: the unbiased deviation, plus 1e-5.
  """
  axes = (0, 1, 2)
  return (kernel - kernel.mean(axes)) / (kernel.std(axes, ddof=1) + 1e-5)
