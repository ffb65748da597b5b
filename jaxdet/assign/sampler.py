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
  rows = _choose(labels, jax.random.uniform(key, labels.shape), num, positive_fraction)
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
  return _choose(labels, jax.random.uniform(key, labels.shape), num, positive_fraction) if num else _every_row(labels)


def hardest_rows(
  labels: Int[Array, 'N'], valid: Bool[Array, 'N'], losses: Float[Array, 'N'], num: int, positive_fraction: float
) -> Rows:
  """Takes the rows of each kind with the largest losses, largest first; other arguments as of `sample_rows`."""
  labels = jnp.where(valid, labels, -1)
  return _choose(labels, losses, num, positive_fraction) if num else _every_row(labels)


def _every_row(labels: Int[Array, 'N']) -> Rows:
  """All positives and negatives in their own order, positives first."""
  index = jnp.argsort(-labels, stable=True)
  chosen = labels[index] >= 0
  return Rows(jnp.where(chosen, index, 0), chosen)


def _choose(labels: Int[Array, 'N'], priority: Float[Array, 'N'], num: int, positive_fraction: float) -> Rows:
  positives, num_positives = _best(jnp.where(labels == 1, priority, -jnp.inf), int(num * positive_fraction), num)
  negatives, num_negatives = _best(jnp.where(labels == 0, priority, -jnp.inf), num, num)
  row = jnp.arange(num)
  is_positive = row < num_positives
  index = jnp.where(is_positive, positives, negatives[jnp.maximum(row - num_positives, 0)])
  valid = row < num_positives + num_negatives
  return Rows(jnp.where(valid, index, 0), valid)


def _best(priority: Array, most: int, length: int) -> tuple[Int[Array, 'length'], Int[Array, '']]:
  """The `most` rows of highest priority, padded to `length`, and the number of these above minus infinity."""
  values, index = lax.top_k(priority, min(most, priority.shape[0]))
  return jnp.pad(index, (0, length - index.shape[0])), (values != -jnp.inf).sum()
