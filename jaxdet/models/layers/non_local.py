"""Non-local block (Wang et al., 2018): every pixel attends to all pixels of its image."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv, at_least_float32


class NonLocal(nn.Module):
  """Adds to each pixel a mean of values `g`, weighted by a softmax of products of `theta` and `phi`.

  As mmcv's embedded Gaussian without scale and with all channels: the block begins as the identity. Pixels of the
  canvas beside the image take part, as upstream. A bias of `phi` changes no weight, so its gradient is zero.
  """

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H W C']:
    batch, height, width, channels = x.shape

    def embedded(name: str) -> Float[Array, 'B N C']:
      conv = Conv(channels, 1, kernel_init=nn.initializers.normal(0.01), dtype=self.dtype, name=name)
      return conv(x).reshape(batch, height * width, channels)

    products = jnp.einsum('bic,bjc->bij', embedded('theta'), embedded('phi'))
    weights = jax.nn.softmax(at_least_float32(products)).astype(self.dtype)
    mixed = jnp.einsum('bij,bjc->bic', weights, embedded('g')).reshape(x.shape)
    return x + Conv(channels, 1, kernel_init=nn.initializers.zeros, dtype=self.dtype, name='output')(mixed)
