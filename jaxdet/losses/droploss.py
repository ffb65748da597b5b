"""DropLoss (Hsieh et al., 2021): equalization loss that also drops most background negatives of tail classes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.weighted_sigmoid import is_label, weighted_sigmoid_loss


def drop_loss(
  logits: Float[Array, '*B R C'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  tail: Bool[Array, 'K'],
  key: Array,
) -> Float[Array, '']:
  """Binary cross entropy summed over classes, without dropped negatives; the mean over RoIs.

  Positive RoIs are not negatives of tail classes. A background RoI is a negative of a tail class with the probability
  that a positive RoI of the batch is of the tail, drawn for each RoI and class; without positives it always is.

  Args:
    logits, labels, valid: see regions.py; a background column is unused, upstream has none.
    tail: as `equalization.tail_classes` gives it.
    key: random key of the step.
  """
  num_classes = tail.shape[0]
  is_foreground = valid & (labels < num_classes)
  in_tail = is_foreground & tail[jnp.where(is_foreground, labels, 0)]
  kept_share = jnp.where(is_foreground.any(), in_tail.sum() / jnp.maximum(is_foreground.sum(), 1), 1.0)
  lost = jax.random.uniform(key, (*labels.shape, num_classes)) > kept_share
  dropped = (is_foreground[..., None] | lost) & tail & ~is_label(labels, num_classes)
  return weighted_sigmoid_loss(logits[..., :num_classes], labels, valid, 1.0 - dropped)
