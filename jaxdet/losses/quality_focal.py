"""Quality focal loss (Li et al., 2020): class probabilities with the IoU of the row's box as target."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.regions import mask_padding
from jaxdet.losses.weighted_sigmoid import is_label


def quality_focal_loss(
  logits: Float[Array, '*B R K'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  quality: Float[Array, '*B R'],
  beta: float,
) -> Float[Array, '']:
  """Sum over rows and classes of |q - p|^beta times the cross entropy of p with q.

  Args:
    logits, labels, valid: see regions.py, without a column for background; the sum, not the mean.
    quality: target q of a row's own class, in [0, 1], without gradient; the other classes have 0.
    beta: 0 is plain cross entropy.
  """
  logits, labels = mask_padding(logits, labels, valid, background=logits.shape[-1])
  wanted = jnp.where(is_label(labels, logits.shape[-1]), jax.lax.stop_gradient(quality)[..., None], 0.0)
  distance = jnp.abs(wanted - jax.nn.sigmoid(logits))
  each = optax.sigmoid_binary_cross_entropy(logits, wanted) * distance**beta
  return (each.sum(-1) * valid).sum()
