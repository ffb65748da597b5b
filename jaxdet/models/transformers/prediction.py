"""Heads of query detectors: class logits and box of each query."""

import math
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import at_least_float32, torch_uniform

PRIOR = 0.01  # initial probability of every class, with sigmoids (Lin et al., 2017)


prior_bias = nn.initializers.constant(-math.log(1 / PRIOR - 1))


class Prediction(nn.Module):
  """A linear layer `logits`, and three layers `box0` to `box2` for the four box coordinates."""

  num_logits: int
  class_bias_init: Callable = nn.initializers.zeros
  box_kernel_init: Callable = torch_uniform  # of the last layer
  box_bias: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)  # initial bias of the last box layer
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, '*B C']) -> tuple[Float[Array, '*B K'], Float[Array, '*B 4']]:
    """Class logits and box logits (their sigmoid is the box); both at least float32."""
    dense = partial(nn.Dense, kernel_init=torch_uniform, dtype=self.dtype)
    logits = dense(self.num_logits, bias_init=self.class_bias_init, name='logits')(x)
    for i in range(2):
      x = nn.relu(dense(x.shape[-1], name=f'box{i}')(x))
    box = dense(4, kernel_init=self.box_kernel_init, bias_init=self._box_bias, name='box2')(x)
    return at_least_float32(logits), at_least_float32(box)

  def _box_bias(self, key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Float[Array, '4']:
    del key, shape
    return jnp.asarray(self.box_bias, dtype)
