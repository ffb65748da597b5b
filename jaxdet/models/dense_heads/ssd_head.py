"""Head of SSD (Liu et al., 2016): per level one convolution for classes, and one for boxes."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv

xavier = nn.initializers.xavier_uniform()


class SSDHead(nn.Module):
  """Class logits [B, H, W, A, K + 1], background last, and box regression [B, H, W, A, C].

  They are returned by name, 'logits' and 'box_regression', each as {level: map}. Levels share no weights;
  submodules are `logits<level>` and `boxes<level>`.
  """

  num_classes: int
  num_anchors: Sequence[int]  # per cell, of each level
  box_channels: int  # box regression channels per anchor
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, features: dict[int, Float[Array, 'B _ _ _']], *, train: bool = False
  ) -> dict[str, dict[int, Float[Array, 'B _ _ A _']]]:
    del train  # there is no norm
    # float32, so that rounding makes no ties in top-k.
    wide = jnp.promote_types(self.dtype, jnp.float32)
    outputs = {'logits': {}, 'box_regression': {}}
    for (level, x), count in zip(sorted(features.items()), self.num_anchors, strict=True):
      for output, name, channels in (
        ('logits', 'logits', self.num_classes + 1),
        ('box_regression', 'boxes', self.box_channels),
      ):
        conv = Conv(count * channels, kernel_init=xavier, dtype=self.dtype, output_dtype=wide, name=f'{name}{level}')
        outputs[output][level] = conv(x).reshape(*x.shape[:3], count, channels)
    return outputs
