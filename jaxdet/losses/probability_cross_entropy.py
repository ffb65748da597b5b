"""Binary cross entropy of probabilities rounded to float32, as torch's `binary_cross_entropy`.

It differs from that of logits where the sigmoid saturates: logits above 16.6 give a probability of 1, which costs 100
if wrong, and beyond about +-27 the gradient is 0.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

LARGEST = 100.0  # cross entropy if the target's probability is 0
LEAST_VARIANCE = 1e-12  # least p (1 - p), by which torch divides in the backward pass


def probability_cross_entropy(logits: Float[Array, '*N'], targets: Float[Array, '*N']) -> Float[Array, '*N']:
  """Loss of each logit's sigmoid, in [0, LARGEST]; targets are 0 or 1."""
  p = 1 / (1 + jnp.exp(-jax.lax.stop_gradient(logits).astype(jnp.float32)))
  value = -jnp.where(targets > 0, jnp.log(p), jnp.log1p(-p))
  learned = optax.sigmoid_binary_cross_entropy(logits, targets) * jnp.minimum(p * (1 - p) / LEAST_VARIANCE, 1.0)
  return learned + jax.lax.stop_gradient(jnp.minimum(value, LARGEST) - learned)
