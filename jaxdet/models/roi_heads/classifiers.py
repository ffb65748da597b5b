"""Last layer of a box head: class logits from RoI features, in the forms used for long tails.

Columns are the classes, then those that the class loss adds (in most background).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.normed import normed_predictor

NORMAL = nn.initializers.normal(0.01)


class LinearClassifier(nn.Module):
  """Linear layer; with `tau` its weight vectors are normalised after training (Kang et al., 2020).

  A class's vector w becomes w (m / |w|) ** tau with m the mean length over the classes, which keeps the classes' logits
  against background on average. Background's vector and all biases are not changed.
  """

  num_classes: int
  num_logits: int
  class_bias: float = 0.0  # initial bias of the classes
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
  """Scaled cosines of a RoI's features and a vector for each class (Gidaris & Komodakis, 2018).

  By default DisAlign's form in cvpods: background has a vector too, the scale is learned, and there is no bias.
  """

  num_logits: int
  scale: float = 20.0  # the initial value if it is learned
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
  """mmdetection's classifier for the seesaw loss: 20 times the cosine, plus a bias."""

  num_logits: int

  @nn.compact
  def __call__(self, x: Float[Array, '*B C']) -> Float[Array, '*B L']:
    kernel = self.param('kernel', NORMAL, (x.shape[-1], self.num_logits), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (self.num_logits,), jnp.float32)
    return normed_predictor(x, kernel, bias)


class DisAlign(nn.Module):
  """Calibrates a trained classifier's logits towards a balanced distribution (Zhang et al., 2021).

  A foreground logit s becomes c (a s + b) + (1 - c) s with a scale a and a bias b for each class, and a confidence c
  for each RoI; the background logit is not changed. Submodule: `confidence`, a linear layer.
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
  """Multiplies a trained classifier's logits, except background, by a learned factor per class (LWS, Kang, 2020)."""

  num_classes: int

  @nn.compact
  def __call__(self, logits: Float[Array, '*B L'], x: Float[Array, '*B C']) -> Float[Array, '*B L']:
    scale = self.param('scale', nn.initializers.ones, (self.num_classes,), jnp.float32)
    return logits.at[..., : self.num_classes].multiply(scale)


CALIBRATIONS: dict[str, Callable[..., nn.Module]] = {'disalign': DisAlign, 'lws': LearnableScaling}


def _unit(x: Float[Array, '...'], axis: int) -> Float[Array, '...']:
  """Scales vectors to length 1; zero vectors stay zero, as in torch's `normalize`."""
  square = (x * x).sum(axis, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
