"""The last layer of a box head: class logits from a region's features, in the forms that long tails ask for."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

COSINE_SCALE = 20.0  # what the learned factor begins with


class CosineClassifier(nn.Module):
  """Scaled cosines of the angles between a region's features and a vector for each class (Gidaris & Komodakis, 2018).

  As in DisAlign's code on cvpods: no bias, background has a vector like the classes, the scale is learned.
  """

  num_logits: int

  @nn.compact
  def __call__(self, x: Float[Array, '*B C']) -> Float[Array, '*B K+1']:
    kernel = self.param('kernel', nn.initializers.normal(0.01), (x.shape[-1], self.num_logits), jnp.float32)
    scale = self.param('scale', nn.initializers.constant(COSINE_SCALE), (1,), jnp.float32)
    return scale * (_unit(x, -1) @ _unit(kernel, 0))


class DisAlign(nn.Module):
  """Logits of a trained classifier moved towards a balanced distribution (Zhang et al., 2021).

  A foreground logit s becomes c (a s + b) + (1 - c) s with a scale a and a bias b for each class, and a confidence c
  for each region; that of background stays. Submodule: `confidence`, a linear layer.
  """

  @nn.compact
  def __call__(self, logits: Float[Array, '*B K+1'], x: Float[Array, '*B C']) -> Float[Array, '*B K+1']:
    classes, background = logits[..., :-1], logits[..., -1:]
    scale = self.param('scale', nn.initializers.ones, (classes.shape[-1],), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (classes.shape[-1],), jnp.float32)
    confidence = nn.sigmoid(nn.Dense(1, kernel_init=nn.initializers.normal(0.01), name='confidence')(x))
    moved = confidence * (scale * classes + bias) + (1 - confidence) * classes
    return jnp.concatenate([moved, background], -1)


def _unit(x: Float[Array, '...'], axis: int) -> Float[Array, '...']:
  """Vectors of length 1; a vector of zeros stays one, as in torch's `normalize`."""
  square = (x * x).sum(axis, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
