"""The federated loss of Detectron2, CenterNet2 and Detic: sigmoids of a sample of the classes (Zhou et al., 2021).

LVIS tells of few classes whether they are in an image, so a region counts as a negative of these alone: of the
classes that are in the batch, and of some others, the frequent more often than the rare.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.weighted_sigmoid import is_label, weighted_sigmoid_loss


def federated_loss(
  logits: Float[Array, '*B R C'], labels: Int[Array, '*B R'], valid: Bool[Array, '*B R'], classes: Bool[Array, 'K']
) -> Float[Array, '']:
  """Binary cross entropy summed over the sampled classes; the mean over regions.

  Args:
    logits, labels, valid: as regions.py tells; a background column, which upstream has, counts for nothing.
    classes: True for those sampled, as `sample_classes` gives them. With `image_counts > 0` taken from them as well
      it is Detic's IGNORE_ZERO_CATS.
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
  """The classes of the regions, and others drawn without replacement with weights `image_counts ** power`.

  Args:
    labels, valid: as regions.py tells.
    image_counts: training images that hold the class; one of 0 is drawn only with `power` 0.
    key: random key of the step.
    slots: classes to fill up to, background among them where a region has it. With more in the batch all count.
    power: 0 draws all classes alike, 1 as often as they are seen.
  """
  # The largest of log-weights with Gumbel noise are a draw without replacement.
  scores = jnp.log(image_counts.astype(jnp.float32) ** power) + jax.random.gumbel(key, image_counts.shape)
  return fill_classes(labels, valid, scores, slots)


def fill_classes(
  labels: Int[Array, '*B R'], valid: Bool[Array, '*B R'], scores: Float[Array, 'K'], slots: int
) -> Bool[Array, 'K']:
  """The classes of the regions, filled up to `slots` by those of the largest scores; -inf is never taken."""
  num_classes = scores.shape[0]
  present = (valid[..., None] & is_label(labels, num_classes + 1)).any(tuple(range(labels.ndim)))
  free = slots - present.sum()
  best, index = jax.lax.top_k(jnp.where(present[:-1], -jnp.inf, scores), min(slots, num_classes))
  taken = (jnp.arange(len(best)) < free) & (best > -jnp.inf)
  return present[:-1].at[jnp.where(taken, index, num_classes)].set(True, mode='drop')
