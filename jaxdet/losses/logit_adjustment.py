"""Balanced softmax (Ren et al., 2020) and logit adjustment (Menon et al., 2021): logits that know how rare classes are.

Balanced softmax is the logit-adjusted loss with tau 1: log n and log (n / sum n) differ by what softmax does not see.
"""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.regions import mask_padding, mean_over
from jaxdet.losses.weighted_sigmoid import weighted_sigmoid_loss


def log_prior(instance_counts: Int[Array, 'K'], background: float) -> Float[Array, 'K+1']:
  """Log of the share of regions that each class has, background last.

  Args:
    instance_counts: training instances; one of 0 counts as 1, so that every class can be learnt.
    background: the share of background among the regions of the loss: 0.75 with the usual sampler.
  """
  counts = jnp.maximum(instance_counts, 1).astype(jnp.float32)
  return jnp.log(jnp.append((1 - background) * counts / counts.sum(), background))


def logit_adjusted_loss(
  logits: Float[Array, '*B R K+1'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  log_prior: Float[Array, 'K+1'],
  tau: float = 1.0,
) -> Float[Array, '']:
  """Cross entropy of logits + tau log(prior); the mean over regions. Predictions take the logits as they are.

  Args:
    logits, labels, valid: as regions.py tells; the last column is background.
    log_prior: as the function of that name gives it.
    tau: 1 is balanced softmax, 0 plain cross entropy.
  """
  logits, labels = mask_padding(logits, labels, valid, background=logits.shape[-1] - 1)
  return mean_over(optax.softmax_cross_entropy_with_integer_labels(logits + tau * log_prior, labels), valid)


def adjusted_logits(
  logits: Float[Array, '*B K+1'], log_prior: Float[Array, 'K+1'], tau: float = 1.0
) -> Float[Array, '*B K+1']:
  """logits - tau log(prior): the same after the fact, for a model trained with plain cross entropy."""
  return logits - tau * log_prior


def balanced_sigmoid_loss(
  logits: Float[Array, '*B R C'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  image_counts: Int[Array, 'K'],
  num_images: int,
) -> Float[Array, '']:
  """What Ren et al. train detectors with: sigmoids of z_j - log((1 - f_j) / f_j) where the region is an object.

  Binary cross entropy summed over classes, the mean over regions; of background regions without the shift.

  Args:
    logits, labels, valid: as regions.py tells; a background column counts for nothing, upstream has none.
    image_counts: training images that hold the class, out of `num_images`: f_j is the share. It counts as at least
      one image, and leaves out one at least, which keeps the shift finite.
    num_images: training images.
  """
  num_classes = image_counts.shape[0]
  counts = jnp.clip(image_counts, 1, num_images - 1).astype(jnp.float32)
  shift = jnp.log((num_images - counts) / counts)
  is_foreground = (labels < num_classes)[..., None]
  return weighted_sigmoid_loss(logits[..., :num_classes] - is_foreground * shift, labels, valid, jnp.ones(num_classes))
