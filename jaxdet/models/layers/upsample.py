"""Upsampling of maps: nearest and bilinear."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def upsample_nearest(x: Float[Array, 'B H W C'], size: tuple[int, int]) -> Float[Array, 'B H2 W2 C']:
  """Repeats every pixel twice along both axes, and crops to `size`.

  A stride of 2 makes n pixels of 2 n or 2 n - 1, and for both this is nearest interpolation to the exact size.
  """
  batch, height, width, channels = x.shape
  # Along the channels, which lie beside one another in memory: a TPU pads an axis of two pixels to eight.
  x = jnp.concatenate([x, x], axis=-1).reshape(batch, height, 1, 2 * width, channels)
  x = jnp.broadcast_to(x, (batch, height, 2, 2 * width, channels))
  return x.reshape(batch, 2 * height, 2 * width, channels)[:, : size[0], : size[1]]


def upsample_bilinear(x: Float[Array, 'B H W C'], size: tuple[int, int]) -> Float[Array, 'B H2 W2 C']:
  """Resizes a map to a size that is not smaller, as torch's bilinear `interpolate` with align_corners=False."""
  return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), 'bilinear', antialias=False)
