"""Distribution focal loss (Li et al., 2020): a distance is predicted as a distribution over 0, 1, .., n."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def distribution_focal_loss(logits: Float[Array, '... n+1'], target: Float[Array, '...']) -> Float[Array, '...']:
  """Cross entropy with the target's two neighbouring integers, weighted so that their mean is the target.

  Args:
    logits: of the distribution.
    target: in [0, n).
  """
  log_probability = jax.nn.log_softmax(logits)
  below = jnp.floor(target)
  steps = jnp.arange(logits.shape[-1])
  distance = jnp.abs(steps - target[..., None])
  weights = jnp.where((steps == below[..., None]) | (steps == below[..., None] + 1), 1 - distance, 0.0)
  return -(weights * log_probability).sum(-1)


def distribution_mean(logits: Float[Array, '... n+1']) -> Float[Array, '...']:
  """Mean of the distribution, in [0, n]."""
  return (jax.nn.softmax(logits) * jnp.arange(logits.shape[-1])).sum(-1)
