"""Sampling of positives and negatives: counts, order, chance and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.assign.sampler import sample_mask, sample_rows
from parity_kit import case

KEY = jax.random.key(0)


def labels_of(positives, negatives, ignored=0, seed=0):
  labels = np.repeat([1, 0, -1], [positives, negatives, ignored])
  return jnp.asarray(np.random.default_rng(seed).permutation(labels))


def counts(labels, chosen):
  return int((labels[chosen] == 1).sum()), int((labels[chosen] == 0).sum())


# positives, negatives, num, fraction -> chosen
TABLE = [
  (10, 1000, 512, 0.25, 10, 502),
  (200, 1000, 512, 0.25, 128, 384),
  (200, 100, 512, 0.25, 128, 100),
  (300, 0, 256, 0.5, 128, 0),
  (0, 0, 8, 0.5, 0, 0),
  (3, 2, 5, 0.5, 2, 2),
]


@pytest.mark.parametrize('positives, negatives, num, fraction, kept_positives, kept_negatives', TABLE)
def test_counts(positives, negatives, num, fraction, kept_positives, kept_negatives):
  labels = labels_of(positives, negatives, ignored=40)
  mask = sample_mask(labels, KEY, num, fraction)
  assert counts(labels, mask) == (kept_positives, kept_negatives)
  assert mask.sum() == kept_positives + kept_negatives

  rows = sample_rows(labels, jnp.ones_like(labels, bool), KEY, num, fraction)
  assert rows.index.shape == rows.valid.shape == (num,)
  chosen = np.asarray(rows.index)[np.asarray(rows.valid)]
  assert len(set(chosen.tolist())) == len(chosen)
  assert labels[chosen].tolist() == [1] * kept_positives + [0] * kept_negatives
  assert not rows.index[~rows.valid].any()


def test_counts_are_detectron2s():
  _, meta = case('ops/d2_sampling')
  for positives, negatives, num, fraction, *kept in meta['subsample_labels']['rows']:
    labels = labels_of(positives, negatives, ignored=20)
    assert counts(labels, sample_mask(labels, KEY, num, fraction)) == tuple(kept)
    rows = sample_rows(labels, jnp.ones_like(labels, bool), KEY, num, fraction)
    assert counts(labels, rows.index[rows.valid]) == tuple(kept)


def test_num_0_takes_everything_in_order():
  labels = jnp.array([0, 1, -1, 0, 1, 0, 1])
  assert sample_mask(labels, KEY, 0, 0.5).tolist() == [True, True, False, True, True, True, True]
  rows = sample_rows(labels, jnp.array([True] * 6 + [False]), KEY, 0, 0.5)
  assert rows.index.tolist() == [1, 4, 0, 3, 5, 0, 0]
  assert rows.valid.tolist() == [True] * 5 + [False] * 2


@pytest.mark.parametrize('num', [0, 16])
def test_padding_is_never_taken(num):
  labels = labels_of(10, 20)
  # Padding that looks like positives.
  padded, valid = jnp.pad(labels, (0, 50), constant_values=1), jnp.arange(80) < 30
  rows = sample_rows(padded, valid, KEY, num, 0.5)
  assert (rows.index < 30).all()
  assert counts(labels, rows.index[rows.valid]) == ((8, 8) if num else (10, 20))
  mask = sample_mask(jnp.where(valid, padded, -1), KEY, num, 0.5)
  assert not mask[30:].any()


def test_every_row_has_the_same_chance():
  labels = labels_of(20, 60, ignored=20)
  keys = jax.random.split(jax.random.key(1), 4000)
  masks = jax.vmap(lambda key: sample_mask(labels, key, 20, 0.5))(keys)
  rows = jax.vmap(lambda key: sample_rows(labels, labels > -2, key, 20, 0.5))(keys)
  taken = jnp.zeros(100).at[rows.index].add(rows.valid)
  for frequency in (masks.mean(0), taken / 4000):
    assert np.abs(frequency[labels == 1] - 10 / 20).max() < 0.04
    assert np.abs(frequency[labels == 0] - 10 / 60).max() < 0.03
    assert not frequency[labels == -1].any()
  # The rows come in random order too: no positive is always the first.
  assert np.bincount(rows.index[:, 0], minlength=100).max() < 4000 * 0.08
