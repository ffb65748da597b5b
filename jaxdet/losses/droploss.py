"""DropLoss (Hsieh et al., 2021): equalization loss in which most of the background lets the tail alone as well."""

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
  """Binary cross entropy summed over classes, less the negatives dropped; the mean over regions.

  Objects are no negatives of the tail. A background region is one of a tail class with the probability that an object
  of the batch is of the tail, drawn for each region and class; without any object it always is.

  Args:
    logits, labels, valid: as regions.py tells; a background column counts for nothing, upstream has none.
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
