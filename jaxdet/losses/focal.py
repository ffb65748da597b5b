"""Sigmoid focal loss (Lin et al., 2017) of labelled rows: binary cross entropy that counts less where it is small."""

import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.regions import harmless_rows
from jaxdet.losses.weighted_sigmoid import is_label


def focal_loss(
  logits: Float[Array, '*B R K'], labels: Int[Array, '*B R'], valid: Bool[Array, '*B R'], alpha: float, gamma: float
) -> Float[Array, '']:
  """The sum over rows and classes, of which dense detectors take the mean over positives.

  Args:
    logits, labels, valid: as regions.py tells, without a column for background.
    alpha: weight of a row's own class; that of the others is 1 - alpha.
    gamma: exponent of the probability of what is false; 0 leaves the cross entropy as it is.
  """
  logits, labels = harmless_rows(logits, labels, valid, background=logits.shape[-1])
  own = is_label(labels, logits.shape[-1]).astype(logits.dtype)
  each = optax.sigmoid_focal_loss(logits, own, alpha=alpha, gamma=gamma).sum(-1)
  return (each * valid).sum()
