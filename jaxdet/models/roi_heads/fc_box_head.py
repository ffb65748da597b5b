"""Class logits and box deltas of pooled regions by fully connected layers (Girshick, 2015)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class FCBoxHead(nn.Module):
  """Hidden layers `fc0`, `fc1`, ... over the flattened region, then `logits` and `deltas` in float32.

  Regions are flattened as (y, x, channel). Background is the last of the K + 1 logits.
  """

  num_classes: int
  num_fcs: int
  channels: int
  class_agnostic: bool  # one box a region, not one a class
  dtype: jnp.dtype = jnp.float32  # of the hidden layers

  @nn.compact
  def __call__(
    self, roi_features: Float[Array, 'B R S S C']
  ) -> tuple[Float[Array, 'B R K+1'], Float[Array, 'B R K|1 4']]:
    x = roi_features.reshape(*roi_features.shape[:2], -1)
    for i in range(self.num_fcs):
      init = nn.initializers.xavier_uniform()
      x = nn.relu(nn.Dense(self.channels, kernel_init=init, dtype=self.dtype, name=f'fc{i}')(x))
    x = x.astype(jnp.float32)
    logits = nn.Dense(self.num_classes + 1, kernel_init=nn.initializers.normal(0.01), name='logits')(x)
    boxes = 1 if self.class_agnostic else self.num_classes
    deltas = nn.Dense(4 * boxes, kernel_init=nn.initializers.normal(0.001), name='deltas')(x)
    return logits, deltas.reshape(*x.shape[:2], boxes, 4)
