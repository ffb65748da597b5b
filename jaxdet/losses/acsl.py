"""Adaptive class suppression loss (Wang et al., 2021): objects are negatives of the classes that score high."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.random_subset import random_subset
from jaxdet.losses.weighted_sigmoid import is_label, weighted_sigmoid_loss

# One of so many background RoIs is a negative of the rare, the common, the frequent classes.
_BACKGROUND_PER_NEGATIVE = (100, 10, 1)


def adaptive_class_suppression_loss(
  logits: Float[Array, '*B R K+1'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  image_counts: Int[Array, 'K'],
  key: Array,
  threshold: float = 0.7,
) -> Float[Array, '']:
  """Binary cross entropy summed over the columns that count; the mean over RoIs.

  For a positive RoI these are its own class and all columns, background included, with a probability of at least
  `threshold`. For a background RoI they are the background column and all frequent classes; also the common classes for
  a random tenth of the background RoIs, rounded down, and the rare classes for a hundredth.

  Args:
    logits, labels, valid: see regions.py; the last column is background.
    image_counts: training images with the class; by LVIS's rule up to 10 is rare and up to 100 common.
    key: random key of the step.
    threshold: the probability from which a class is suppressed.
  """
  num_classes = image_counts.shape[0]
  background = valid & (labels == num_classes)
  keys = jax.random.split(key, len(_BACKGROUND_PER_NEGATIVE))
  drawn = [
    random_subset(key, background, background.sum() // each)
    for key, each in zip(keys, _BACKGROUND_PER_NEGATIVE, strict=True)
  ]
  frequency = (image_counts > 10).astype(int) + (image_counts > 100)
  of_background = jnp.take(jnp.stack(drawn, -1), frequency, axis=-1)
  of_background = jnp.concatenate([of_background, background[..., None]], -1)
  of_object = is_label(labels, num_classes + 1) | (jax.nn.sigmoid(logits) >= threshold)
  counted = jnp.where(background[..., None], of_background, of_object)
  return weighted_sigmoid_loss(logits, labels, valid, counted.astype(jnp.float32))
