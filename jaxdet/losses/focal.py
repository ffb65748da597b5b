"""Sigmoid focal loss (Lin et al., 2017): binary cross entropy with less weight on easy examples.

A dense detector has 10^8 logits and more. So the derivative is written by hand: each pass reads the logits once, and
nothing of their size is stored between forward and backward.
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
  """Sum over rows and classes; dense detectors divide it by the number of positives.

  Args:
    logits, labels, valid: see regions.py, without a column for background.
    alpha: weight of a row's own class; the others have 1 - alpha.
    gamma: exponent of 1 - p, p the probability of the correct answer; 0 is plain cross entropy.
  """
  return _sum(logits, labels, valid, float(alpha), float(gamma))


def focal_loss_of_levels(
  logits: Sequence[Float[Array, 'B _ K']],
  labels: Int[Array, 'B N'],
  valid: Bool[Array, 'B N'],
  alpha: float,
  gamma: float,
) -> Float[Array, '']:
  """Computes `focal_loss` of the N rows of all levels without concatenating their logits.

  Args:
    logits: one array per level, in the order of the rows.
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
  # Without the barrier XLA would share the terms with the forward pass and keep them in memory.
  labels = lax.optimization_barrier(labels)
  own, true, false, weight = _terms(logits, labels, valid, alpha, gamma)
  slope = weight * (gamma * jnp.exp(-true) * true + jnp.exp(-false))  # -d loss / d (signed logit)
  gradient = cotangent * jnp.where(own, -slope, slope)
  return jnp.where(valid[..., None], gradient, 0.0).astype(logits.dtype), None, None


_sum.defvjp(_forward, _backward)


def _terms(logits, labels, valid, alpha: float, gamma: float):
  """(own class of each row, -log p, -log(1 - p), alpha (1 - p)^gamma); p is the probability of the correct answer."""
  logits, labels = mask_padding(logits, labels, valid, background=logits.shape[-1])
  own = is_label(labels, logits.shape[-1])
  logit = jnp.where(own, logits, -logits)  # of the correct answer
  tail = jnp.log1p(jnp.exp(-jnp.abs(logit)))
  true, false = jnp.maximum(-logit, 0.0) + tail, jnp.maximum(logit, 0.0) + tail
  return own, true, false, jnp.where(own, alpha, 1 - alpha) * jnp.exp(-gamma * false)
