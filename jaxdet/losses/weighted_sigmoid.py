"""Binary cross entropy with a weight for each RoI and class, the base of the sigmoid losses for long tails."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.regions import mask_padding, mean_over


def weighted_sigmoid_loss(
  logits: Float[Array, '*B R C'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  weights: Float[Array, '#*B #R C'],
) -> Float[Array, '']:
  """Binary cross entropy times weight, summed over columns; the mean over RoIs.

  Args:
    logits, labels, valid: see regions.py. A label beyond the last column is a negative of all.
    weights: broadcast with the logits; without gradient.
  """
  logits, labels = mask_padding(logits, labels, valid, background=logits.shape[-1])
  each = optax.sigmoid_binary_cross_entropy(logits, jax.nn.one_hot(labels, logits.shape[-1]))
  return mean_over((each * jax.lax.stop_gradient(weights)).sum(-1), valid)


def is_label(labels: Int[Array, '*B R'], columns: int) -> Bool[Array, '*B R C']:
  """True in the column of each RoI's label."""
  return labels[..., None] == jnp.arange(columns)
