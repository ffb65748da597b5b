"""Derives the random keys of a training step: one per image, and one for the batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxdet.structures import Batch

NO_IMAGE = 2**31 - 1  # position that stands for the whole batch


def image_keys(key: Array, batch: Batch) -> Array:
  """Random keys of the images, [B]; each depends only on the image's position in the batch."""
  return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch.image.shape[0]))


def batch_key(key: Array) -> Array:
  """Random key for draws that the whole batch shares."""
  return jax.random.fold_in(key, NO_IMAGE)
