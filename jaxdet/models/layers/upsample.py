"""Upsampling of maps between the centres of pixels."""

import jax
from jaxtyping import Array, Float


def upsample_bilinear(x: Float[Array, 'B H W C'], size: tuple[int, int]) -> Float[Array, 'B H2 W2 C']:
  """Resizes a map to a size that is not smaller, as torch's bilinear `interpolate` with align_corners=False."""
  return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), 'bilinear', antialias=False)
