"""Samples the positives and negatives that a loss is computed on (Girshick, 2015), for one image.

The counts are those of Detectron2's `subsample_labels` and mmdetection's samplers: at most
int(num * positive_fraction) positives, then negatives up to `num` rows, if there are enough. Rows are drawn at random,
or those with the largest losses are taken (online hard example mining, Shrivastava et al., 2016).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.assign.matcher import Match


class Rows(NamedTuple):
  """Rows sampled from N: positives first, then negatives, then padding (index 0)."""

  index: Int[Array, 'num']
  valid: Bool[Array, 'num']


def sample_mask(
  matched: Match, key: Array, num: int, positive_fraction: float, negatives_per_positive: int | None = None
) -> Bool[Array, 'N']:
  """True for the sampled rows; for heads that compute their outputs at every row.

  Args:
    matched: labels of N rows.
    key: random key of the image.
    num, positive_fraction, negatives_per_positive: see `mask_by_priority`.
  """
  priority = jax.random.uniform(key, matched.label.shape)
  return mask_by_priority(matched.label, priority, num, positive_fraction, negatives_per_positive)


def sample_rows(matched: Match, valid: Bool[Array, 'N'], key: Array, num: int, positive_fraction: float) -> Rows:
  """Samples rows in random order, for heads that compute their outputs for these rows only.

  Only the first int(num * positive_fraction) can be positive.

  Args:
    matched: labels of N rows.
    valid: False for padding, which is never sampled.
    key: random key of the image.
    num: number of rows to sample, the length of the result. 0: all N rows, positives and negatives in their own order.
    positive_fraction: the most positives, as a share of `num`.
  """
  labels = jnp.where(valid, matched.label, -1)
  if num == 0:
    return all_rows(labels)
  priority = jax.random.uniform(key, labels.shape)
  return best_rows(
    jnp.where(labels == 1, priority, -1.0), jnp.where(labels == 0, priority, -1.0), num, positive_fraction
  )


def mask_by_priority(
  labels: Int[Array, 'N'],
  priority: Float[Array, 'N'],
  num: int,
  positive_fraction: float,
  negatives_per_positive: int | None = None,
) -> Bool[Array, 'N']:
  """True for the positives and negatives of highest priority.

  Args:
    labels: 1 positive, 0 negative, -1 ignored.
    priority: at least 0.
    num: number of rows to sample. 0: all positives and negatives.
    positive_fraction: the most positives, as a share of `num`.
    negatives_per_positive: the most negatives for every positive; for one, if there is no positive. None: no limit.
  """
  if num == 0:
    if negatives_per_positive is None:
      return labels >= 0
    num, positive_fraction = labels.shape[0], 1.0
  positives, negatives = (jnp.where(labels == label, priority, -1.0) for label in (1, 0))
  rows = best_rows(positives, negatives, num, positive_fraction, negatives_per_positive)
  # Padding gets an index beyond the end, which the scatter drops.
  index = jnp.where(rows.valid, rows.index, labels.shape[0])
  return jnp.zeros(labels.shape[0], bool).at[index].set(True, mode='drop')


def hardest_rows(
  labels: Int[Array, 'N'], valid: Bool[Array, 'N'], losses: Float[Array, 'N'], num: int, positive_fraction: float
) -> Rows:
  """Takes the rows of each kind with the largest losses, largest first; other arguments as of `sample_rows`."""
  labels = jnp.where(valid, labels, -1)
  if num == 0:
    return all_rows(labels)
  losses = jnp.maximum(losses, 0.0)  # a cross entropy may be rounded below 0
  return best_rows(jnp.where(labels == 1, losses, -1.0), jnp.where(labels == 0, losses, -1.0), num, positive_fraction)


def all_rows(labels: Int[Array, 'N']) -> Rows:
  """All positives, then all negatives, in their own order."""
  index = jnp.argsort(-labels, stable=True)
  chosen = labels[index] >= 0
  return Rows(jnp.where(chosen, index, 0), chosen)


def best_rows(
  positives: Float[Array, 'N'],
  negatives: Float[Array, 'N'],
  num: int,
  positive_fraction: float,
  negatives_per_positive: int | None = None,
) -> Rows:
  """The positives, then the negatives of highest priority.

  Args:
    positives: priority of every row as a positive; below 0 for the others.
    negatives: as `positives`.
    num, positive_fraction, negatives_per_positive: see `mask_by_priority`.
  """
  best_positives, num_positives = _best(positives, int(num * positive_fraction), num)
  best_negatives, num_negatives = _best(negatives, num, num)
  if negatives_per_positive is not None:
    num_negatives = jnp.minimum(num_negatives, negatives_per_positive * jnp.maximum(num_positives, 1))
  row = jnp.arange(num)
  is_positive = row < num_positives
  index = jnp.where(is_positive, best_positives, best_negatives[jnp.maximum(row - num_positives, 0)])
  valid = row < num_positives + num_negatives
  return Rows(jnp.where(valid, index, 0), valid)


def _best(priority: Array, most: int, length: int) -> tuple[Int[Array, 'length'], Int[Array, '']]:
  """The `most` rows of highest priority, padded to `length`, and the number of these with priority >= 0."""
  values, index = lax.top_k(priority, min(most, priority.shape[0]))
  return jnp.pad(index, (0, length - index.shape[0])), (values >= 0).sum()
