"""CornerNet's head (Law & Deng, 2018): heat maps, embeddings and offsets of top left and bottom right corners."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv, torch_uniform
from jaxdet.models.layers.conv_norm import conv_norm
from jaxdet.ops.corner_pool import corner_pool

Outputs = dict[str, dict[int, Float[Array, 'B H W _']]]

CORNERS = {'top_left': ('top', 'left'), 'bottom_right': ('bottom', 'right')}
PRIOR = 0.1  # initial probability of every class


class CornerHead(nn.Module):
  """Predicts for each corner class logits [B, H, W, K], embeddings [B, H, W, M] and offsets (x, y) [B, H, W, 2].

  Outputs are by name, 'top_left_logits', 'bottom_right_embedding' and so on, each as {level: map}. Levels share no
  weights; submodules are `top_left_pool<level>`, `top_left_logits<level>` and so on.
  """

  num_classes: int
  embedding: int  # M
  channels: int  # of the convolutions before the last ones
  pool_channels: int  # of the pooled features
  norm: str  # of the convolutions around pooling, see layers/norm.py
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: dict[int, Float[Array, 'B H W C']], *, train: bool = False) -> Outputs:
    made = {'logits': self.num_classes, 'embedding': self.embedding, 'offsets': 2}
    outputs = {f'{corner}_{output}': {} for corner in CORNERS for output in made}
    for level, x in features.items():
      for corner, sides in CORNERS.items():
        pool = CornerPool(sides, self.pool_channels, self.norm, self.dtype, name=f'{corner}_pool{level}')
        pooled = pool(x, train)
        for output, channels in made.items():
          name = f'{corner}_{output}'
          bias = nn.initializers.constant(-np.log((1 - PRIOR) / PRIOR)) if output == 'logits' else torch_bias
          branch = Branch(self.channels, channels, bias, self.dtype, name=f'{name}{level}')
          outputs[name][level] = branch(pooled)
    return outputs


class CornerPool(nn.Module):
  """Pools along the two sides of a corner, each after its own convolution, and adds a shortcut.

  Submodules are the convolutions `first`, `second`, `pooled`, `shortcut` and `output`, each with a norm.
  """

  sides: tuple[str, str]
  pool_channels: int
  norm: str
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C'], train: bool) -> Float[Array, 'B H W C']:
    settings = {'norm': self.norm, 'train': train, 'dtype': self.dtype}
    seen = [
      corner_pool(nn.relu(conv_norm(x, self.pool_channels, name=name, **settings)), side)
      for name, side in zip(('first', 'second'), self.sides, strict=True)
    ]
    pooled = conv_norm(seen[0] + seen[1], x.shape[-1], name='pooled', **settings)
    shortcut = conv_norm(x, x.shape[-1], 1, name='shortcut', **settings)
    return nn.relu(conv_norm(nn.relu(pooled + shortcut), x.shape[-1], name='output', **settings))


class Branch(nn.Module):
  """A 3 x 3 convolution `conv` and a 1 x 1 `output`."""

  channels: int
  outputs: int
  bias_init: nn.initializers.Initializer
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H W F']:
    x = nn.relu(Conv(self.channels, dtype=self.dtype, name='conv')(x))
    last = {'kernel_init': torch_uniform, 'bias_init': self.bias_init, 'dtype': self.dtype}
    # float32, so that top-k can rank logits that bfloat16 would make equal.
    last['output_dtype'] = jnp.promote_types(self.dtype, jnp.float32)
    return Conv(self.outputs, 1, **last, name='output')(x)


def torch_bias(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Float[Array, 'F']:
  """Random initial bias, of the size of torch's for 256 channels."""
  return jax.random.uniform(key, shape, dtype, -1 / 16, 1 / 16)
