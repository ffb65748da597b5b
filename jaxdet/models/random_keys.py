"""Random keys of a training step: one for each image, one for the batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxdet.structures import Batch

NO_IMAGE = 2**31 - 1  # in the place of an image's position, where a random key is the whole batch's


def image_keys(key: Array, batch: Batch) -> Array:
  """A random key for each image, [B], which depends on its position in the batch alone."""
  return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch.image.shape[0]))


def batch_key(key: Array) -> Array:
  """A random key for what is drawn once for the whole batch."""
  return jax.random.fold_in(key, NO_IMAGE)
