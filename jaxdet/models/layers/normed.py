"""Cosines in the place of inner products in a last layer: mmdetection's NormedLinear, and NormedConv2d of 1 x 1."""

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
  """`temperature` times the cosine of features and kernel, and a bias; on vectors, or on NHWC maps pixel by pixel.

  Each side is divided by its length ** `power` + `eps`.
  """
  return temperature * normed(features, -1, power, eps) @ normed(kernel, 0, power, eps) + bias


def normed(x: Float[Array, '*B C'], axis: int, power: float = 1.0, eps: float = 1e-6) -> Float[Array, '*B C']:
  """Vectors along `axis`, divided by their length ** `power` + `eps`; one of zeros has gradient 0, as in torch."""
  squared = (x**2).sum(axis, keepdims=True)
  # The root has no finite gradient at 0; upstream's is 0 there.
  length = jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)
  return x / (length**power + eps)
