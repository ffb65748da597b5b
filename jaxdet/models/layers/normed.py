"""Cosine layers in place of inner products: mmdetection's NormedLinear, and NormedConv2d of 1 x 1."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def normed_predictor(
  features: Float[Array, '*B C'],
  kernel: Float[Array, 'C O'],
  bias: Float[Array, 'O'],
  temperature: float = 20.0,
  power: float = 1.0,
  eps: float = 1e-6,
) -> Float[Array, '*B O']:
  """`temperature` times the cosine of features and kernel, plus a bias; for vectors, or pixels of NHWC maps.

  Both are divided by length ** `power` + `eps`.
  """
  return temperature * normed(features, -1, power, eps) @ normed(kernel, 0, power, eps) + bias


def normed(x: Float[Array, '*B C'], axis: int, power: float = 1.0, eps: float = 1e-6) -> Float[Array, '*B C']:
  """Divides vectors along `axis` by length ** `power` + `eps`; zero vectors have gradient 0, as in torch."""
  squared = (x**2).sum(axis, keepdims=True)
  # The square root has no finite gradient at 0; upstream's gradient is 0 there.
  length = jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)
  return x / (length**power + eps)
