"""Neck without a pyramid: heads use one stage of the backbone (Faster R-CNN's C4 and DC5)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class SingleLevel(nn.Module):
  """Features of one backbone stage, as the only level.

  A dilated fifth stage has stride 16 and so is level 4.
  """

  stage: int
  level: int  # the stride of the features is 2**level
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, features: dict[int, Float[Array, 'B _ _ C']], *, train: bool = False
  ) -> dict[int, Float[Array, 'B _ _ C']]:
    del train  # there is nothing to train
    return {self.level: features[self.stage].astype(self.dtype)}
