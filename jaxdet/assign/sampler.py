"""Samples the positives and negatives that a loss is computed on (Girshick, 2015), for one image.

The counts are those of Detectron2's `subsample_labels` and mmdetection's RandomSampler: at most
int(num * positive_fraction) positives, then negatives up to `num` rows, if there are enough.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int


class Rows(NamedTuple):
  """Rows sampled from N: positives first, then negatives, then padding (index 0)."""

  index: Int[Array, 'num']
  valid: Bool[Array, 'num']


def sample_mask(labels: Int[Array, 'N'], key: Array, num: int, positive_fraction: float) -> Bool[Array, 'N']:
  """True for the sampled rows; for heads that compute their outputs at every row.

  Args:
    labels: 1 positive, 0 negative, -1 ignored.
    key: random key of the image.
    num: number of rows to sample. 0: all positives and negatives.
    positive_fraction: the most positives, as a share of `num`.
  """
  if num == 0:
    return labels >= 0
  rows = _choose(labels, key, num, positive_fraction)
  # Padding gets an index beyond the end, which the scatter drops.
  index = jnp.where(rows.valid, rows.index, labels.shape[0])
  return jnp.zeros(labels.shape[0], bool).at[index].set(True, mode='drop')


def sample_rows(
  labels: Int[Array, 'N'], valid: Bool[Array, 'N'], key: Array, num: int, positive_fraction: float
) -> Rows:
  """Samples rows in random order, for heads that compute their outputs for these rows only.

  Only the first int(num * positive_fraction) can be positive.

  Args:
    labels: 1 positive, 0 negative, -1 ignored.
    valid: False for padding, which is never sampled.
    key: random key of the image.
    num: number of rows to sample, the length of the result. 0: all N rows, positives and negatives in their own order.
    positive_fraction: the most positives, as a share of `num`.
  """
  labels = jnp.where(valid, labels, -1)
  if num == 0:
    index = jnp.argsort(-labels, stable=True)
    chosen = labels[index] >= 0
    return Rows(jnp.where(chosen, index, 0), chosen)
  return _choose(labels, key, num, positive_fraction)


def _choose(labels: Int[Array, 'N'], key: Array, num: int, positive_fraction: float) -> Rows:
  priority = jax.random.uniform(key, labels.shape)
  positives, num_positives = _best(jnp.where(labels == 1, priority, -1.0), int(num * positive_fraction), num)
  negatives, num_negatives = _best(jnp.where(labels == 0, priority, -1.0), num, num)
  row = jnp.arange(num)
  is_positive = row < num_positives
  index = jnp.where(is_positive, positives, negatives[jnp.maximum(row - num_positives, 0)])
  valid = row < num_positives + num_negatives
  return Rows(jnp.where(valid, index, 0), valid)


def _best(priority: Array, most: int, length: int) -> tuple[Int[Array, 'length'], Int[Array, '']]:
  """The `most` rows of highest priority, padded to `length`, and the number of these with priority >= 0."""
  values, index = lax.top_k(priority, min(most, priority.shape[0]))
  return jnp.pad(index, (0, length - index.shape[0])), (values >= 0).sum()
