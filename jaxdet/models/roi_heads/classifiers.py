"""The last layer of a box head: class logits from a region's features, in the forms that long tails ask for.

Columns are the classes, then what the class loss wants besides (background in most).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.normed import normed_predictor

NORMAL = nn.initializers.normal(0.01)


class LinearClassifier(nn.Module):
  """A linear layer; with `tau` its vectors are normalised as Kang et al. (2020) do after training.

  A class's vector w becomes w (m / |w|) ** tau with m the mean length over the classes, which leaves the classes'
  logits against background as they are on average. Background, and every bias, stays.
  """

  num_classes: int
  num_logits: int
  class_bias: float = 0.0  # that the classes begin with
  tau: float = 0.0

  @nn.compact
  def __call__(self, x: Float[Array, '*B C']) -> Float[Array, '*B L']:
    kernel = self.param('kernel', NORMAL, (x.shape[-1], self.num_logits), jnp.float32)
    bias = self.param('bias', self._initial_bias, (self.num_logits,), jnp.float32)
    if self.tau:
      lengths = jnp.linalg.norm(kernel[:, : self.num_classes], axis=0)
      kernel = kernel.at[:, : self.num_classes].multiply((lengths.mean() / jnp.maximum(lengths, 1e-12)) ** self.tau)
    return x @ kernel + bias

  def _initial_bias(self, key: Array, shape: tuple[int], dtype: jnp.dtype) -> Float[Array, 'L']:
    return jnp.zeros(shape, dtype).at[: self.num_classes].set(self.class_bias)


class CosineClassifier(nn.Module):
  """Scaled cosines of the angles between a region's features and a vector for each class (Gidaris & Komodakis, 2018).

  DisAlign's form on cvpods: background has a vector like the classes; the scale is learned, and there is no bias.
  """

  num_logits: int
  scale: float = 20.0  # where it is learned, what it begins with
  learned_scale: bool = True
  bias: bool = False

  @nn.compact
  def __call__(self, x: Float[Array, '*B C']) -> Float[Array, '*B L']:
    kernel = self.param('kernel', NORMAL, (x.shape[-1], self.num_logits), jnp.float32)
    scale = self.scale
    if self.learned_scale:
      scale = self.param('scale', nn.initializers.constant(self.scale), (1,), jnp.float32)
    logits = scale * (_unit(x, -1) @ _unit(kernel, 0))
    return logits + self.param('bias', nn.initializers.zeros, (self.num_logits,), jnp.float32) if self.bias else logits


class NormedClassifier(nn.Module):
  """mmdetection's cosines for the seesaw loss: 20 times the cosine, and a bias."""

  num_logits: int

  @nn.compact
  def __call__(self, x: Float[Array, '*B C']) -> Float[Array, '*B L']:
    kernel = self.param('kernel', NORMAL, (x.shape[-1], self.num_logits), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (self.num_logits,), jnp.float32)
    return normed_predictor(x, kernel, bias)


class DisAlign(nn.Module):
  """Logits of a trained classifier moved towards a balanced distribution (Zhang et al., 2021).

  A foreground logit s becomes c (a s + b) + (1 - c) s with a scale a and a bias b for each class, and a confidence c
  for each region; that of background stays. Submodule: `confidence`, a linear layer.
  """

  num_classes: int

  @nn.compact
  def __call__(self, logits: Float[Array, '*B L'], x: Float[Array, '*B C']) -> Float[Array, '*B L']:
    classes, others = jnp.split(logits, [self.num_classes], -1)
    scale = self.param('scale', nn.initializers.ones, (self.num_classes,), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (self.num_classes,), jnp.float32)
    confidence = nn.sigmoid(nn.Dense(1, kernel_init=NORMAL, name='confidence')(x))
    moved = confidence * (scale * classes + bias) + (1 - confidence) * classes
    return jnp.concatenate([moved, others], -1)


class LearnableScaling(nn.Module):
  """Logits of a trained classifier times a learned factor for each class (LWS, Kang et al., 2020); background stays."""

  num_classes: int

  @nn.compact
  def __call__(self, logits: Float[Array, '*B L'], x: Float[Array, '*B C']) -> Float[Array, '*B L']:
    scale = self.param('scale', nn.initializers.ones, (self.num_classes,), jnp.float32)
    return logits.at[..., : self.num_classes].multiply(scale)


CALIBRATIONS: dict[str, Callable[..., nn.Module]] = {'disalign': DisAlign, 'lws': LearnableScaling}


def _unit(x: Float[Array, '...'], axis: int) -> Float[Array, '...']:
  """Vectors of length 1; a vector of zeros stays one, as in torch's `normalize`."""
  square = (x * x).sum(axis, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
