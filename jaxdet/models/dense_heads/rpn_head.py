"""Head of a region proposal network (Ren et al., 2015), shared by all levels."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv


class RPNHead(nn.Module):
  """Objectness logits and box deltas of every anchor; 3 x 3 convolutions, then two 1 x 1."""

  num_convs: int
  channels: int
  num_anchors: int  # per cell
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, features: dict[int, Float[Array, 'B _ _ C']], *, train: bool = False
  ) -> tuple[dict[int, Float[Array, 'B _ _ A']], dict[int, Float[Array, 'B _ _ A 4']]]:
    del train  # there is no norm
    init = nn.initializers.normal(0.01)
    convs = [Conv(self.channels, kernel_init=init, dtype=self.dtype, name=f'conv{i}') for i in range(self.num_convs)]
    # float32, so that rounding makes no ties in top-k.
    wide = jnp.promote_types(self.dtype, jnp.float32)
    last = {'size': 1, 'kernel_init': init, 'dtype': self.dtype, 'output_dtype': wide}
    to_logits = Conv(self.num_anchors, **last, name='logits')
    to_deltas = Conv(4 * self.num_anchors, **last, name='deltas')
    logits, deltas = {}, {}
    for level, x in features.items():
      for conv in convs:
        x = nn.relu(conv(x))
      logits[level] = to_logits(x)
      deltas[level] = to_deltas(x).reshape(*x.shape[:3], self.num_anchors, 4)
    return logits, deltas
