"""Equalization loss v2 (Tan et al., 2021): weights positives and negatives of a class by its past gradients."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.regions import mask_padding
from jaxdet.losses.weighted_sigmoid import is_label, weighted_sigmoid_loss


def initial_state(num_classes: int) -> dict[str, Float[Array, 'K']]:
  """Zero sums of absolute weighted gradients of the logits, from `positive` and from `negative` RoIs."""
  return {'positive': jnp.zeros(num_classes), 'negative': jnp.zeros(num_classes)}


def equalization_loss_v2(
  logits: Float[Array, '*B R K+1'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  state: dict[str, Float[Array, 'K']],
  mu: float = 0.8,
  alpha: float = 4.0,
  gamma: float = 12.0,
) -> tuple[Float[Array, ''], dict[str, Float[Array, 'K']]]:
  """Weighted binary cross entropy summed over all columns, the mean over RoIs, and the new state.

  With g the ratio of positive to negative gradients before this batch and f = sigmoid(gamma (g - mu)), a class's
  negatives have weight f and its positives 1 + alpha (1 - f). The background column, an objectness, has weight 1.

  Args:
    logits, labels, valid: see regions.py; the last column is background.
    state: as `initial_state` or the last call gave it.
    mu, alpha, gamma: as in the paper.
  """
  columns = logits.shape[-1]
  balance = jax.nn.sigmoid(gamma * (_gradient_ratio(state) - mu))
  negative = jnp.append(balance, 1.0)
  weights = jnp.where(is_label(labels, columns), 1 + alpha * (1 - negative), negative)
  loss = weighted_sigmoid_loss(logits, labels, valid, weights)

  logits, labels = mask_padding(logits, labels, valid, background=columns - 1)
  own = is_label(labels, columns)
  gradient = jnp.where(valid[..., None], jnp.abs(jax.nn.sigmoid(logits) - own) * weights, 0.0)
  rows = tuple(range(labels.ndim))
  moved = {
    'positive': state['positive'] + jnp.where(own, gradient, 0.0).sum(rows)[:-1],
    'negative': state['negative'] + jnp.where(own, 0.0, gradient).sum(rows)[:-1],
  }
  return loss, jax.lax.stop_gradient(moved)


def class_scores(logits: Float[Array, '*B K+1']) -> Float[Array, '*B K']:
  """Probabilities of the classes, times that of foreground."""
  probabilities = jax.nn.sigmoid(logits)
  return probabilities[..., :-1] * (1 - probabilities[..., -1:])


def _gradient_ratio(state: dict[str, Float[Array, 'K']]) -> Float[Array, 'K']:
  """Positive over negative gradients; 100, which makes all weights 1, before the first negative gradient."""
  return jnp.where(state['negative'] > 0, state['positive'] / (state['negative'] + 1e-10), 100.0)
