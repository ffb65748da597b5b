"""No neck: the head sees the backbone's maps as they are."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class Unchanged(nn.Module):
  """The features of the backbone, of any levels."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, features: dict[int, Float[Array, 'B _ _ _']], *, train: bool = False
  ) -> dict[int, Float[Array, 'B _ _ _']]:
    del train  # there is nothing to train
    return {level: x.astype(self.dtype) for level, x in features.items()}
