"""Generalised re-weighted loss of DisAlign (Zhang et al., 2021): cross entropy with larger weights for rare classes."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.regions import mask_padding


def class_weights(instance_counts: Int[Array, 'K'], scale: float) -> Float[Array, 'K+1']:
  """Class weights (n_c / sum n) ** -scale, normalised to sum K, and 1 for background.

  Args:
    instance_counts: training instances; 0 counts as 1, which keeps the weights finite.
    scale: 0 gives equal weights, 1 the inverse of a class's share; DisAlign takes 0.8 on LVIS.
  """
  counts = jnp.maximum(instance_counts, 1).astype(jnp.float32)
  weights = (counts / counts.sum()) ** -scale
  return jnp.append(weights * len(counts) / weights.sum(), 1.0)


def reweighted_loss(
  logits: Float[Array, '*B R K+1'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  weights: Float[Array, 'K+1'],
) -> Float[Array, '']:
  """Cross entropy times the weight of the label, divided by the sum of these weights.

  Args:
    logits, labels, valid: see regions.py; the last column is background.
    weights: from `class_weights`.
  """
  logits, labels = mask_padding(logits, labels, valid, background=logits.shape[-1] - 1)
  of_label = jnp.where(valid, weights[labels], 0.0)
  total = (of_label * optax.softmax_cross_entropy_with_integer_labels(logits, labels)).sum()
  return total / jnp.where(valid.any(), of_label.sum(), 1.0)
