"""Converts uint8 pixels to the backbone's input, on the device."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.structures import Batch


@dataclasses.dataclass(frozen=True)
class Preprocess:
  """Normalises images, (image - mean) / std in float32; the canvas outside the image is zero, as upstream pads."""

  mean: tuple[float, float, float]  # RGB
  std: tuple[float, float, float]
  dtype: str  # of the result

  @jax.named_scope('preprocess')
  def __call__(self, batch: Batch) -> Float[Array, 'B H W 3']:
    height, width = batch.image.shape[1:3]
    normalized = (batch.image.astype(jnp.float32) - jnp.asarray(self.mean)) / jnp.asarray(self.std)
    inside_y = jnp.arange(height) < batch.image_size[:, :1]
    inside_x = jnp.arange(width) < batch.image_size[:, 1:]
    inside = inside_y[:, :, None, None] & inside_x[:, None, :, None]
    return jnp.where(inside, normalized, 0.0).astype(self.dtype)
