"""Convolution with an optional norm after it, for necks and heads."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv, he_normal
from jaxdet.models.layers.norm import norm as norm_layer
from jaxdet.models.layers.norm import standardizes


def conv_norm(
  x: Float[Array, 'B H W C'],
  features: int,
  size: int = 3,
  *,
  stride: int = 1,
  norm: str,
  train: bool,
  name: str,
  kernel_init: Callable = he_normal,
  dtype: jnp.dtype = jnp.float32,
) -> Float[Array, 'B H W F']:
  """Applies a convolution `name` and, where `norm` is a kind of layers/norm.py, a norm `<name>_norm`.

  The convolution has a bias if no norm follows. Call it in a compact method, which then owns the two submodules.
  """
  conv = Conv(
    features,
    size,
    stride,
    use_bias=not norm,
    standardize=standardizes(norm),
    kernel_init=kernel_init,
    dtype=dtype,
    name=name,
  )
  y = conv(x)
  return norm_layer(norm, train=train, dtype=dtype, name=f'{name}_norm')(y) if norm else y
