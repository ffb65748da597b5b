"""Sampling of positives and negatives: counts, order, chance and padding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.assign import sampler
from jaxdet.assign.matcher import Match
from parity_kit import case

KEY = jax.random.key(0)


@functools.partial(jax.jit, static_argnames=('num', 'positive_fraction'))
def sample(labels, valid, key, num, positive_fraction):
  """Both functions at once: (mask, rows)."""
  mask = sampler.sample_mask(match(jnp.where(valid, labels, -1)), key, num, positive_fraction)
  return mask, sampler.sample_rows(match(labels), valid, key, num, positive_fraction)


def match(labels) -> Match:
  """A match with these labels."""
  labels = jnp.asarray(labels)
  return Match(jnp.zeros_like(labels), labels, jnp.zeros(labels.shape))


def labels_of(positives, negatives, ignored):
  labels = np.repeat([1, 0, -1], [positives, negatives, ignored])
  return np.random.default_rng(0).permutation(labels)


def choose(labels, num, positive_fraction, valid=None):
  """What is chosen, as (mask, indices of the rows that are valid); rows that are not are 0."""
  valid = np.ones(len(labels), bool) if valid is None else valid
  mask, rows = jax.tree.map(np.asarray, sample(labels, valid, KEY, num, positive_fraction))
  assert rows.index.shape == rows.valid.shape == (num or len(labels),)
  assert not rows.index[~rows.valid].any()
  assert not rows.valid[rows.valid.sum() :].any()
  return mask, rows.index[rows.valid]


def counts(labels, chosen):
  return (labels[chosen] == 1).sum(), (labels[chosen] == 0).sum()


@pytest.mark.parametrize(
  'positives, negatives, num, fraction, kept_positives, kept_negatives',
  [
    (10, 1000, 512, 0.25, 10, 502),
    (200, 1000, 512, 0.25, 128, 384),
    (200, 100, 512, 0.25, 128, 100),
    (600, 0, 512, 0.25, 128, 0),
    (0, 0, 512, 0.25, 0, 0),
    (3, 2, 5, 0.5, 2, 2),
  ],
)
def test_counts(positives, negatives, num, fraction, kept_positives, kept_negatives):
  labels = labels_of(positives, negatives, ignored=1300 - positives - negatives)
  mask, rows = choose(labels, num, fraction)
  assert counts(labels, mask) == (kept_positives, kept_negatives)
  assert mask.sum() == kept_positives + kept_negatives
  # Positives come first, and no row twice.
  assert labels[rows].tolist() == [1] * kept_positives + [0] * kept_negatives
  assert len(set(rows.tolist())) == len(rows)


def test_more_rows_wanted_than_there_are():
  labels = labels_of(3, 4, ignored=2)
  mask, rows = choose(labels, 16, 0.5)
  assert counts(labels, mask) == counts(labels, rows) == (3, 4)


def test_counts_are_detectron2s():
  _, meta = case('ops/d2_sampling')
  for positives, negatives, num, fraction, *kept in meta['subsample_labels']['rows']:
    labels = labels_of(positives, negatives, ignored=1300 - positives - negatives)
    mask, rows = choose(labels, num, fraction)
    assert counts(labels, mask) == counts(labels, rows) == tuple(kept)


def test_num_0_takes_everything_in_order():
  labels = np.array([0, 1, -1, 0, 1, 0, 1])
  mask, rows = choose(labels, 0, 0.5, valid=np.arange(7) < 6)
  assert mask.tolist() == [True, True, False, True, True, True, False]
  assert rows.tolist() == [1, 4, 0, 3, 5]
  labels = labels_of(300, 900, ignored=100)
  _, rows = choose(labels, 0, 0.5)
  assert rows.tolist() == [*np.flatnonzero(labels == 1), *np.flatnonzero(labels == 0)]


@pytest.mark.parametrize('num', [0, 16])
def test_padding_is_never_taken(num):
  labels = labels_of(10, 20, ignored=0)
  # Padding that looks like positives.
  padded = np.pad(labels, (0, 50), constant_values=1)
  mask, rows = choose(padded, num, 0.5, valid=np.arange(80) < 30)
  assert (rows < 30).all() and not mask[30:].any()
  assert counts(padded, rows) == counts(padded, mask) == ((8, 8) if num else (10, 20))


def test_every_row_has_the_same_chance():
  labels = labels_of(20, 60, ignored=20)
  keys = jax.random.split(jax.random.key(1), 4000)
  draw = jax.jit(jax.vmap(lambda key: sample(labels, labels > -2, key, 20, 0.5)))
  masks, rows = jax.tree.map(np.asarray, draw(keys))
  for frequency in (masks.mean(0), np.bincount(rows.index[rows.valid], minlength=100) / 4000):
    assert np.abs(frequency[labels == 1] - 10 / 20).max() < 0.04
    assert np.abs(frequency[labels == 0] - 10 / 60).max() < 0.03
    assert not frequency[labels == -1].any()
  # The rows come in random order too: no positive is always the first.
  assert np.bincount(rows.index[:, 0], minlength=100).max() < 4000 * 0.08


@pytest.mark.parametrize('num', [0, 64])
@pytest.mark.parametrize('positives, negatives', [(3, 15), (0, 5), (20, 44)])
def test_at_most_so_many_negatives_for_a_positive(num, positives, negatives):
  labels = labels_of(positives, 100, ignored=10)
  mask = np.asarray(sampler.sample_mask(match(labels), KEY, num, 0.5, negatives_per_positive=5))
  assert counts(labels, mask) == (positives, 100 if num == 0 and positives == 20 else negatives)


def test_the_rows_of_highest_priority_are_taken():
  labels = np.array([0, 1, 0, 1, 0, -1, 1])
  priority = jnp.array([0.1, 0.2, 0.9, 0.8, 0.5, 1.0, 0.3])
  mask = sampler.mask_by_priority(jnp.asarray(labels), priority, 4, 0.5)
  assert np.flatnonzero(mask).tolist() == [2, 3, 4, 6]


def test_the_hardest_have_the_largest_losses_of_their_kind():
  labels = np.array([1, 0, 1, -1, 0, 0, 1, 0])
  losses = np.float32([0.5, 3.0, 2.0, 9.0, 0.0, 4.0, 1.0, 8.0])
  valid = np.arange(8) < 7

  def hardest(num, fraction):
    rows = jax.device_get(sampler.hardest_rows(labels, valid, losses, num, fraction))
    return rows.index[rows.valid].tolist()

  assert hardest(4, 0.5) == [2, 6, 5, 1]
  assert hardest(6, 0.5) == [2, 6, 0, 5, 1, 4]  # one with loss 0 counts too
  assert hardest(7, 0.2) == [2, 5, 1, 4]
  assert hardest(0, 0.2) == [0, 2, 6, 1, 4, 5]
