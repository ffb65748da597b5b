"""Balanced sampling of RoIs (Libra R-CNN, Pang et al., 2019), for one image.

Positives are spread evenly over objects, negatives over bins of their IoU. Rows get priorities: those of a balanced
share come first, then the others, each in random order. The counts are those of mmdetection's
InstanceBalancedPosSampler and IoUBalancedNegSampler.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdet.assign.matcher import Match
from jaxdet.assign.sampler import Rows, all_rows, best_rows

NO_GROUP = -1


def sample_balanced_rows(
  matched: Match,
  valid: Bool[Array, 'N'],
  key: Array,
  num: int,
  positive_fraction: float,
  bins: int,
  floor_iou: float,
  floor_fraction: float,
) -> Rows:
  """Samples rows; as `sampler.sample_rows` with other probabilities.

  Args:
    matched: labels, objects and IoUs of N rows.
    valid: False for padding, which is never sampled.
    key: random key of the image.
    num: number of rows to sample, the length of the result. 0: all N rows, positives and negatives in their own order.
    positive_fraction: the most positives, as a share of `num`.
    bins, floor_iou, floor_fraction: see `negative_priority`.
  """
  labels = jnp.where(valid, matched.label, -1)
  if num == 0:
    return all_rows(labels)
  draws = jax.random.uniform(key, (2, *labels.shape))
  most = int(num * positive_fraction)
  positives = positive_priority(labels == 1, matched.index, draws, most)
  wanted = num - jnp.minimum((labels == 1).sum(), most)
  iou = jnp.where(valid, matched.iou, -1.0)
  negatives = negative_priority(labels == 0, iou, draws, wanted, bins, floor_iou, floor_fraction)
  return best_rows(positives, negatives, num, positive_fraction)


def positive_priority(
  positive: Bool[Array, 'N'], index: Int[Array, 'N'], draws: Float[Array, '2 N'], most: int
) -> Float[Array, 'N']:
  """Priorities in [0, 2), those of the same number of positives for every object above 1; -1 for other rows.

  Args:
    positive: rows that can be chosen.
    index: object of every row.
    draws: random numbers in [0, 1): those of the first row choose an object's share, those of the second the rest.
    most: number of rows that will be chosen, at most.
  """
  groups = jnp.where(positive, index, NO_GROUP)
  rank = rank_in_group(groups, draws[0])
  objects = (positive & (rank == 0)).sum()
  share = jnp.round(most / jnp.maximum(objects, 1)) + 1
  return jnp.where(positive, draws[1] + (rank < share), -1.0)


def negative_priority(
  negative: Bool[Array, 'N'],
  iou: Float[Array, 'N'],
  draws: Float[Array, '2 N'],
  wanted: Int[Array, ''],
  bins: int,
  floor_iou: float,
  floor_fraction: float,
) -> Float[Array, 'N']:
  """Priorities in [0, 2), those of `wanted` balanced negatives above 1; -1 for other rows.

  Negatives on the floor are drawn uniformly. The others are drawn in equal numbers from bins of equal width, from
  `floor_iou` to the largest IoU of the image's rows, positives included; too small a bin is filled up by any of them.

  Args:
    negative: rows that can be chosen.
    iou: best IoU of every row, also of positives; -1 for rows that take no part.
    draws: random numbers in [0, 1): those of the first row choose a bin's share, those of the second the rest.
    wanted: number of rows that will be chosen.
    bins: number of bins.
    floor_iou: negatives below it are on the floor; at 0 those of IoU 0; below 0 none.
    floor_fraction: share of `wanted` left to the floor.
  """
  on_floor = negative & ((iou < floor_iou) | (iou == 0) & (floor_iou == 0))
  above = negative & ~on_floor
  from_above = jnp.floor(wanted * (1 - floor_fraction)).astype(jnp.int32)

  least = max(floor_iou, 0.0)
  width = (iou.max() - least) / bins
  bin_number = jnp.floor((iou - least) / jnp.where(width > 0, width, 1.0)).astype(jnp.int32)
  share = from_above // bins
  in_bin = above & (bin_number < bins)  # the largest IoU itself is in none
  preferred = in_bin & (rank_in_group(jnp.where(in_bin, bin_number, NO_GROUP), draws[0]) < share)
  rank = rank_in_group(jnp.where(above, 0, NO_GROUP), draws[1] + preferred)
  chosen = above & (rank < from_above)

  from_floor = wanted - chosen.sum()
  chosen |= on_floor & (rank_in_group(jnp.where(on_floor, 0, NO_GROUP), draws[1]) < from_floor)
  return jnp.where(negative, draws[1] + chosen, -1.0)


def rank_in_group(groups: Int[Array, 'N'], priority: Float[Array, 'N']) -> Int[Array, 'N']:
  """Number of rows of the same group with a higher priority (of equal ones, those before)."""
  order = jnp.lexsort((-priority, groups))
  in_order = groups[order]
  place = jnp.arange(len(groups)) - jnp.searchsorted(in_order, in_order)
  return jnp.zeros_like(place).at[order].set(place)
