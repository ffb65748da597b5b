"""Balanced sampling: even shares of objects and of bins of IoU, filled up at random."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.assign.balanced_sampler import rank_in_group, sample_balanced_rows
from jaxdet.assign.matcher import Match

KEY = jax.random.key(0)
STATIC = ('num', 'positive_fraction', 'bins', 'floor_iou', 'floor_fraction')
sample = functools.partial(jax.jit, static_argnames=STATIC)(sample_balanced_rows)


def chosen(labels, index=None, iou=None, num=40, valid=None, key=KEY, **settings):
  """Rows that are sampled, with settings of mmdetection's Libra R-CNN unless others are given."""
  labels = np.asarray(labels)
  matched = Match(
    index=jnp.asarray(np.zeros(len(labels), int) if index is None else index),
    label=jnp.asarray(labels),
    iou=jnp.asarray(np.zeros(len(labels)) if iou is None else iou, jnp.float32),
  )
  settings = {'positive_fraction': 0.5, 'bins': 3, 'floor_iou': 0.0, 'floor_fraction': 0.0} | settings
  rows = sample(matched, np.ones(len(labels), bool) if valid is None else valid, key, num=num, **settings)
  rows = jax.tree.map(np.asarray, rows)
  assert rows.index.shape == rows.valid.shape == (num or len(labels),)
  found = rows.index[rows.valid]
  assert len(set(found.tolist())) == len(found) and not rows.valid[len(found) :].any()
  assert (np.diff(labels[found]) <= 0).all()  # positives first
  return found


def test_all_rows_are_taken_where_there_are_few():
  labels = np.array([1] * 5 + [0] * 20 + [-1] * 3)
  assert sorted(chosen(labels).tolist()) == list(range(25))
  assert chosen(labels, num=0).tolist() == list(range(25))
  assert len(chosen(labels, num=0, valid=np.arange(28) < 9)) == 9


# Positives of each object, and bounds of their number among 20.
@pytest.mark.parametrize(
  'objects, least, most',
  [
    ((100, 4, 100), (8, 4, 8), (8, 4, 8)),  # a share of 8, of which the small object has 4
    ((100, 100), (9, 9), (11, 11)),  # a share of 11, one too many: dropped at random
    ((100, 1, 1), (18, 1, 1), (18, 1, 1)),  # a share of 8, filled up by the large object
  ],
)
def test_objects_have_equal_shares_of_the_positives(objects, least, most):
  index = np.repeat(np.arange(len(objects)), objects)
  labels, padding = np.ones(len(index), int), 30
  labels = np.pad(labels, (0, padding))
  found = chosen(labels, np.pad(index, (0, padding)), num=40)
  positives = found[labels[found] == 1]
  counts = np.bincount(index[positives], minlength=len(objects))
  assert len(positives) == 20
  assert (counts >= least).all() and (counts <= most).all()


def counts_by(iou, found, edges):
  return np.histogram(iou[found], edges)[0].tolist()


def test_bins_have_equal_shares_of_the_negatives():
  # The best IoU, of a positive, is 0.9: bins are 0.3 wide. 100 negatives of IoU 0 lie on the floor.
  iou = np.concatenate([[0.9], np.linspace(0.01, 0.29, 200), np.linspace(0.31, 0.49, 50), np.zeros(100)])
  labels = np.array([1] + [0] * 350)
  negatives = chosen(labels, iou=iou, num=40)[1:]
  assert len(negatives) == 39
  low, middle = counts_by(iou, negatives, [0.005, 0.3, 0.6])
  # 13 of each bin; those of the empty third bin are drawn from all above the floor.
  assert low + middle == 39 and low >= 13 and middle >= 13


def test_negatives_on_the_floor_fill_up():
  iou = np.concatenate([[0.9], np.full(10, 0.2), np.zeros(100)])
  labels = np.array([1] + [0] * 110)
  negatives = chosen(labels, iou=iou, num=40)[1:]
  assert counts_by(iou, negatives, [0, 0.1, 0.3]) == [29, 10]


def test_a_share_of_the_negatives_can_be_left_to_a_floor():
  iou = np.concatenate([[1.0], np.full(100, 0.05), np.full(100, 0.3)])
  labels = np.array([1] + [0] * 200)
  negatives = chosen(labels, iou=iou, num=41, floor_iou=0.1, floor_fraction=0.25)[1:]
  assert counts_by(iou, negatives, [0, 0.1, 0.5]) == [10, 30]


def test_without_a_floor_rows_without_overlap_are_in_the_first_bin():
  iou = np.concatenate([[0.9], np.zeros(200), np.full(100, 0.4)])
  labels = np.array([1] + [0] * 300)
  negatives = chosen(labels, iou=iou, num=40, floor_iou=-1.0)[1:]
  low, middle = counts_by(iou, negatives, [0, 0.3, 0.6])
  assert low + middle == 39 and low >= 13 and middle >= 13


def test_small_bins_are_filled_up_at_random():
  # 13 of the 100 in the first bin and both of the second, then 24 of the other 87.
  iou = np.concatenate([[0.9], np.full(50, 0.1), np.full(50, 0.2), np.full(2, 0.4)])
  labels = np.array([1] + [0] * 102)
  found = [chosen(labels, iou=iou, num=40, key=key)[1:] for key in jax.random.split(KEY, 100)]
  by_value = np.array([counts_by(iou, negatives, [0.05, 0.15, 0.3, 0.5]) for negatives in found])
  assert (by_value.sum(1) == 39).all() and (by_value[:, 2] == 2).all()
  assert abs(by_value[:, 0].mean() - 18.5) < 1.5


def test_padding_changes_nothing_but_the_draws():
  labels, iou = np.array([1] * 3 + [0] * 100), np.linspace(0.6, 0.0, 103)
  padded = chosen(
    np.pad(labels, (0, 50), constant_values=1),
    iou=np.pad(iou, (0, 50), constant_values=5.0),
    num=30,
    valid=np.arange(153) < 103,
  )
  assert (padded < 103).all() and (labels[padded] == 1).sum() == 3 and len(padded) == 30


def test_every_row_of_a_share_has_the_same_chance():
  index = np.pad(np.repeat([0, 1], [40, 10]), (0, 50))
  labels = np.pad(np.ones(50, int), (0, 50))
  matched = Match(jnp.asarray(index), jnp.asarray(labels), jnp.zeros(100))
  settings = {'num': 20, 'positive_fraction': 0.5, 'bins': 3, 'floor_iou': 0.0, 'floor_fraction': 0.0}
  draw = jax.jit(jax.vmap(lambda key: sample_balanced_rows(matched, labels >= 0, key, **settings)))
  rows = jax.tree.map(np.asarray, draw(jax.random.split(KEY, 2000)))
  frequency = np.bincount(rows.index[rows.valid], minlength=100) / 2000
  # Shares of 6 of 40 and of 10, and two of the twelve are dropped.
  np.testing.assert_allclose(frequency[:40], 5 / 40, atol=0.03)
  np.testing.assert_allclose(frequency[40:50], 5 / 10, atol=0.05)
  np.testing.assert_allclose(frequency[50:], 10 / 50, atol=0.04)


def test_ranks_within_groups():
  ranks = rank_in_group(jnp.array([1, 0, 1, 1, 0]), jnp.array([0.5, 0.1, 0.9, 0.5, 0.2]))
  assert ranks.tolist() == [1, 1, 0, 2, 0]
