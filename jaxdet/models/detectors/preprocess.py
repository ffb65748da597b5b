"""From uint8 pixels to the network's input, on the device."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8


@jax.named_scope('preprocess')
def normalize(
  image: UInt8[Array, 'B H W 3'],
  image_size: Int[Array, 'B 2'],
  mean: tuple[float, ...],
  std: tuple[float, ...],
  dtype: jnp.dtype,
) -> Float[Array, 'B H W 3']:
  """(image - mean) / std in float32, and zero on the canvas beyond the image, as upstream pads."""
  height, width = image.shape[1:3]
  normalized = (image.astype(jnp.float32) - jnp.asarray(mean)) / jnp.asarray(std)
  inside_y = jnp.arange(height) < image_size[:, :1]
  inside_x = jnp.arange(width) < image_size[:, 1:]
  inside = inside_y[:, :, None, None] & inside_x[:, None, :, None]
  return jnp.where(inside, normalized, 0.0).astype(dtype)
