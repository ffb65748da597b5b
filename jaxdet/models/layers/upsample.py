"""Upsampling of maps: nearest, twice or to a size, and bilinear."""

import jax
import jax.numpy as jnp
import numpy as np
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


def resize_nearest(x: Float[Array, 'B H W C'], size: tuple[int, int]) -> Float[Array, 'B H2 W2 C']:
  """Resizes a map to a size that is not smaller, as torch's nearest `interpolate` to a size."""
  for axis, length in zip((1, 2), size, strict=True):
    x = _resize_axis(x, axis, length)
  return x


def _resize_axis(x: Float[Array, 'B H W C'], axis: int, length: int) -> Float[Array, 'B H2 W2 C']:
  pixels, number = x.shape[axis], np.arange(length)
  # Torch's arithmetic: float32 is a pixel off for some sizes.
  source = np.minimum(np.floor(number.astype(np.float32) * np.float32(pixels / length)).astype(int), pixels - 1)
  if np.array_equal(source, number // (length // pixels)):
    return jnp.repeat(x, length // pixels, axis=axis)
  return jnp.take(x, source, axis=axis)
