"""Seesaw loss (Wang et al., 2021) as in mmdetection: a softmax over the classes, and a separate objectness.

A class's gradient as a negative is reduced if it had fewer samples so far than the RoI's own class, and raised again if
it scores higher.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.regions import mask_padding, mean_over
from jaxdet.losses.weighted_sigmoid import is_label

State = dict[str, Float[Array, 'K+1']]


def initial_state(num_classes: int) -> State:
  """Zero `samples`: number of RoIs of each class so far, background last."""
  return {'samples': jnp.zeros(num_classes + 1)}


def seesaw_loss(
  logits: Float[Array, '*B R K+2'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  state: State,
  p: float = 0.8,
  q: float = 2.0,
  least_score: float = 0.01,
) -> tuple[Float[Array, ''], State]:
  """Sum of class loss and objectness loss, and the new state.

  Args:
    logits, labels, valid: see regions.py; after the K classes come the logits of object and of background.
    state: from `initial_state` or the last call; this batch's samples are counted before the loss.
    p, q, least_score: see `class_loss`.
  """
  num_classes = logits.shape[-1] - 2
  state = count_samples(state, labels, valid)
  of_class = class_loss(logits[..., :num_classes], labels, valid, state['samples'][:-1], p, q, least_score)
  return of_class + objectness_loss(logits[..., num_classes:], labels < num_classes, valid), state


def count_samples(state: State, labels: Int[Array, '*B R'], valid: Bool[Array, '*B R']) -> State:
  """Adds the RoIs of this batch to the state."""
  samples = state['samples']
  counted = valid[..., None] & is_label(labels, len(samples))
  return {'samples': samples + counted.sum(tuple(range(labels.ndim)))}


def class_loss(
  logits: Float[Array, '*B R K'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  samples: Float[Array, 'K'],
  p: float = 0.8,
  q: float = 2.0,
  least_score: float = 0.01,
) -> Float[Array, '']:
  """Cross entropy of the positive RoIs with every exp(z_j) times M_ij C_ij, divided by the number of all RoIs.

  For a RoI of class i, with N the samples (at least 1) and s the softmax, without gradient:
  M_ij = min(1, N_j / N_i)^p mitigates and C_ij = max(1, s_j / s_i)^q compensates; s_i counts as `least_score` at least.
  """
  num_classes = logits.shape[-1]
  is_foreground = valid & (labels < num_classes)
  logits, labels = mask_padding(logits, labels, is_foreground, background=0)
  log_samples = jnp.log(jnp.maximum(samples, 1.0))
  mitigation = p * jnp.minimum(log_samples - log_samples[labels][..., None], 0.0)
  log_scores = jax.nn.log_softmax(jax.lax.stop_gradient(logits))
  own_score = jnp.maximum(jnp.take_along_axis(log_scores, labels[..., None], -1), jnp.log(least_score))
  compensation = q * jnp.maximum(log_scores - own_score, 0.0)
  # Both are 0 in an object's own column.
  each = optax.softmax_cross_entropy_with_integer_labels(logits + mitigation + compensation, labels)
  return jnp.where(is_foreground, each, 0.0).sum() / jnp.maximum(valid.sum(), 1)


def objectness_loss(
  logits: Float[Array, '*B R 2'], is_foreground: Bool[Array, '*B R'], valid: Bool[Array, '*B R']
) -> Float[Array, '']:
  """Cross entropy of object (column 0) against background (column 1); the mean over RoIs."""
  logits, labels = mask_padding(logits, 1 - is_foreground.astype(int), valid, background=1)
  return mean_over(optax.softmax_cross_entropy_with_integer_labels(logits, labels), valid)


def class_scores(logits: Float[Array, '*B K+2']) -> Float[Array, '*B K']:
  """Probabilities of the classes, times that of foreground."""
  return jax.nn.softmax(logits[..., :-2]) * jax.nn.softmax(logits[..., -2:])[..., :1]
