"""Adaptive max pooling: a map of any smaller size, as torch's `adaptive_max_pool2d`."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def adaptive_max_pool(x: Float[Array, 'B H W C'], size: tuple[int, int]) -> Float[Array, 'B H2 W2 C']:
  """Maxima of H2 x W2 bins that cover the map evenly; neighbours overlap where sides do not divide.

  Bin i of n on an axis of N pixels begins at floor(i N / n) and ends before ceil((i + 1) N / n). The gradient of a
  maximum goes to its first pixel.
  """
  windows = []
  for axis, length in zip((1, 2), size, strict=True):
    if x.shape[axis] % length:
      x = jnp.take(x, _bins(x.shape[axis], length).reshape(-1), axis=axis)
    windows.append(x.shape[axis] // length)
  # A plain maximum over the pixels of a bin would compare them with it again for the gradient; where XLA computes the
  # pixels anew and rounds differently none is equal, and the gradient is 0 / 0.
  return nn.max_pool(x, tuple(windows), tuple(windows))


def _bins(pixels: int, length: int) -> Int[np.ndarray, 'n K']:
  """Pixels of every bin; shorter bins repeat their last one."""
  number = np.arange(length)
  first, end = number * pixels // length, -(-(number + 1) * pixels // length)
  return np.minimum(first[:, None] + np.arange((end - first).max()), end[:, None] - 1)
