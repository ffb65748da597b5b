"""Sigmoid focal loss (Lin et al., 2017) of labelled rows: binary cross entropy that counts less where it is small.

A dense detector has 10^8 logits and more. So the derivative is written out: either pass reads the logits once, and
nothing of their size is kept between the two.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.regions import mask_padding
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
  return _sum(logits, labels, valid, float(alpha), float(gamma))


def focal_loss_of_levels(
  logits: Sequence[Float[Array, 'B _ K']],
  labels: Int[Array, 'B N'],
  valid: Bool[Array, 'B N'],
  alpha: float,
  gamma: float,
) -> Float[Array, '']:
  """`focal_loss` of the N rows of all levels, without putting their logits together.

  Args:
    logits: a level each, in the order of the rows.
    labels, valid, alpha, gamma: as in `focal_loss`.
  """
  total, start = 0.0, 0
  for level in logits:
    rows = slice(start, start + level.shape[1])
    total += focal_loss(level, labels[:, rows], valid[:, rows], alpha, gamma)
    start = rows.stop
  if start != labels.shape[1]:
    raise ValueError(f'levels have {start} rows, but there are labels of {labels.shape[1]}')
  return total


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _sum(logits, labels, valid, alpha: float, gamma: float) -> Float[Array, '']:
  _, true, _, weight = _terms(logits, labels, valid, alpha, gamma)
  return ((weight * true).sum(-1) * valid).sum()


def _forward(logits, labels, valid, alpha, gamma):
  return _sum(logits, labels, valid, alpha, gamma), (logits, labels, valid)


def _backward(alpha, gamma, residuals, cotangent):
  logits, labels, valid = residuals
  # Or XLA would see that the terms are those of the loss, and keep them in memory.
  labels = lax.optimization_barrier(labels)
  own, true, false, weight = _terms(logits, labels, valid, alpha, gamma)
  slope = weight * (gamma * jnp.exp(-true) * true + jnp.exp(-false))  # of the loss, as the logit of what is true falls
  gradient = cotangent * jnp.where(own, -slope, slope)
  return jnp.where(valid[..., None], gradient, 0.0).astype(logits.dtype), None, None


_sum.defvjp(_forward, _backward)


def _terms(logits, labels, valid, alpha: float, gamma: float):
  """(the rows' own classes; -log of the probability p of what is true; -log of q = 1 - p; alpha times q^gamma)."""
  logits, labels = mask_padding(logits, labels, valid, background=logits.shape[-1])
  own = is_label(labels, logits.shape[-1])
  logit = jnp.where(own, logits, -logits)  # of what is true
  tail = jnp.log1p(jnp.exp(-jnp.abs(logit)))
  true, false = jnp.maximum(-logit, 0.0) + tail, jnp.maximum(logit, 0.0) + tail
  return own, true, false, jnp.where(own, alpha, 1 - alpha) * jnp.exp(-gamma * false)
