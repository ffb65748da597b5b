"""Federated loss of Detectron2, CenterNet2 and Detic: sigmoids of a sample of the classes (Zhou et al., 2021).

LVIS annotates only a few classes of an image exhaustively. So RoIs are negatives only of sampled classes: the classes
in the batch, and some others, frequent ones more often than rare ones.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.weighted_sigmoid import is_label, weighted_sigmoid_loss


def federated_loss(
  logits: Float[Array, '*B R C'], labels: Int[Array, '*B R'], valid: Bool[Array, '*B R'], classes: Bool[Array, 'K']
) -> Float[Array, '']:
  """Binary cross entropy summed over the sampled classes; the mean over RoIs.

  Args:
    logits, labels, valid: see regions.py; a background column, which upstream has, is unused.
    classes: True for sampled classes, from `sample_classes`. Restricted further to `image_counts > 0` the loss is
      Detic's with IGNORE_ZERO_CATS.
  """
  logits = logits[..., : classes.shape[0]]
  return weighted_sigmoid_loss(logits, labels, valid, classes.astype(jnp.float32))


def sample_classes(
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  image_counts: Int[Array, 'K'],
  key: Array,
  slots: int = 50,
  power: float = 0.5,
) -> Bool[Array, 'K']:
  """Samples the classes of the RoIs, and others without replacement with weights `image_counts ** power`.

  Args:
    labels, valid: see regions.py.
    image_counts: training images with the class; a class with 0 is drawn only with `power` 0.
    key: random key of the step.
    slots: number of classes to fill up to, background included if a RoI has it. With more in the batch all are taken.
    power: 0 draws all classes alike, 1 in proportion to their images.
  """
  # The largest log-weights plus Gumbel noise are a draw without replacement.
  scores = jnp.log(image_counts.astype(jnp.float32) ** power) + jax.random.gumbel(key, image_counts.shape)
  return fill_classes(labels, valid, scores, slots)


def fill_classes(
  labels: Int[Array, '*B R'], valid: Bool[Array, '*B R'], scores: Float[Array, 'K'], slots: int
) -> Bool[Array, 'K']:
  """Classes of the RoIs, filled up to `slots` with the classes of largest scores; -inf is never taken."""
  num_classes = scores.shape[0]
  present = (valid[..., None] & is_label(labels, num_classes + 1)).any(tuple(range(labels.ndim)))
  free = slots - present.sum()
  best, index = jax.lax.top_k(jnp.where(present[:-1], -jnp.inf, scores), min(slots, num_classes))
  taken = (jnp.arange(len(best)) < free) & (best > -jnp.inf)
  return present[:-1].at[jnp.where(taken, index, num_classes)].set(True, mode='drop')
