"""Balanced softmax (Ren et al., 2020) and logit adjustment (Menon et al., 2021): logits shifted by class frequency.

Balanced softmax is the logit-adjusted loss with tau 1: log n and log (n / sum n) differ by a constant.
"""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.regions import mask_padding, mean_over
from jaxdet.losses.weighted_sigmoid import weighted_sigmoid_loss


def log_prior(instance_counts: Int[Array, 'K'], background: float) -> Float[Array, 'K+1']:
  """Log of each class's share of the RoIs, background last.

  Args:
    instance_counts: training instances; 0 counts as 1, so that every class can be learnt.
    background: the share of background among the RoIs of the loss: 0.75 with the usual sampler.
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
  """Cross entropy of logits + tau log(prior); the mean over RoIs. Predictions use the unshifted logits.

  Args:
    logits, labels, valid: see regions.py; the last column is background.
    log_prior: from the function of that name.
    tau: 1 is balanced softmax, 0 plain cross entropy.
  """
  logits, labels = mask_padding(logits, labels, valid, background=logits.shape[-1] - 1)
  return mean_over(optax.softmax_cross_entropy_with_integer_labels(logits + tau * log_prior, labels), valid)


def adjusted_logits(
  logits: Float[Array, '*B K+1'], log_prior: Float[Array, 'K+1'], tau: float = 1.0
) -> Float[Array, '*B K+1']:
  """Post-hoc adjustment, logits - tau log(prior), for a model trained with plain cross entropy."""
  return logits - tau * log_prior


def balanced_sigmoid_loss(
  logits: Float[Array, '*B R C'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  image_counts: Int[Array, 'K'],
  num_images: int,
) -> Float[Array, '']:
  """Balanced sigmoid loss of Ren et al.: for positive RoIs sigmoids of z_j - log((1 - f_j) / f_j).

  Binary cross entropy summed over classes, the mean over RoIs; background RoIs have no shift.

  Args:
    logits, labels, valid: see regions.py; a background column is unused, upstream has none.
    image_counts: training images with the class; f_j is their share of `num_images`. Clipped to [1, num_images - 1],
      which keeps the shift finite.
    num_images: training images.
  """
  num_classes = image_counts.shape[0]
  counts = jnp.clip(image_counts, 1, num_images - 1).astype(jnp.float32)
  shift = jnp.log((num_images - counts) / counts)
  is_foreground = (labels < num_classes)[..., None]
  return weighted_sigmoid_loss(logits[..., :num_classes] - is_foreground * shift, labels, valid, jnp.ones(num_classes))
