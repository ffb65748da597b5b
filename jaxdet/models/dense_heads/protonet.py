"""YOLACT's mask branch (Bolya et al., 2019): mask prototypes, and semantic logits used only in training."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv
from jaxdet.models.layers.upsample import upsample_bilinear


class Protonet(nn.Module):
  """'prototypes' [B, 2 H, 2 W, P], at least 0, and 'semantic' logits [B, H, W, K], of the pyramid's finest level.

  Submodules are `conv<i>` (the last one at twice the size), `prototypes` and `semantic`.
  """

  num_classes: int
  num_prototypes: int  # P
  num_convs: int = 3  # before the map is upsampled
  channels: int = 256
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, features: dict[int, Float[Array, 'B _ _ C']], *, train: bool = False
  ) -> dict[str, Float[Array, 'B _ _ _']]:
    del train  # there is no norm
    init = nn.initializers.xavier_uniform()
    finest = features[min(features)]

    def conv(x: Float[Array, 'B H W C'], i: int) -> Float[Array, 'B H W C2']:
      return nn.relu(Conv(self.channels, kernel_init=init, dtype=self.dtype, name=f'conv{i}')(x))

    x = finest
    for i in range(self.num_convs):
      x = conv(x, i)
    x = upsample_bilinear(x, (2 * x.shape[1], 2 * x.shape[2]))
    x = conv(x, self.num_convs)
    last = {'size': 1, 'kernel_init': init, 'dtype': self.dtype}
    last['output_dtype'] = jnp.promote_types(self.dtype, jnp.float32)
    return {
      'prototypes': nn.relu(Conv(self.num_prototypes, **last, name='prototypes')(x)),
      'semantic': Conv(self.num_classes, **last, name='semantic')(finest),
    }
