"""DropLoss: with and without a draw by hand, the share of background kept, and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.droploss import drop_loss
from jaxdet.losses.equalization import equalization_loss
from region_case import (
  LABELS,
  NUM_CLASSES,
  VALID,
  binary_cross_entropy,
  padding_does_nothing,
  random_logits,
  valid_rows,
)

KEY = jax.random.key(0)


def by_hand(logits, weight):
  return (
    sum(
      weight(label, j) * binary_cross_entropy(z[j], j == label)
      for z, label in valid_rows(logits)
      for j in range(NUM_CLASSES)
    )
    / VALID.sum()
  )


def test_without_objects_of_the_tail_all_its_negatives_are_dropped():
  logits = random_logits(NUM_CLASSES)
  tail = jnp.array([False, True, False, False])  # no region that counts is of class 1
  made = drop_loss(logits, LABELS, VALID, tail, KEY)
  assert made == pytest.approx(by_hand(logits, lambda label, j: j != 1), rel=1e-5)


def test_with_objects_of_the_tail_alone_background_counts():
  logits = random_logits(NUM_CLASSES)
  tail = jnp.ones(NUM_CLASSES, bool)
  made = drop_loss(logits, LABELS, VALID, tail, KEY)
  assert made == pytest.approx(by_hand(logits, lambda label, j: label in (j, NUM_CLASSES)), rel=1e-5)
  np.testing.assert_allclose(made, equalization_loss(logits, LABELS, VALID, tail), rtol=1e-6)


def test_without_objects_nothing_is_dropped():
  logits = random_logits(NUM_CLASSES)
  labels = jnp.full(LABELS.shape, NUM_CLASSES)
  made = drop_loss(logits, labels, VALID, jnp.ones(NUM_CLASSES, bool), KEY)
  expected = np.mean([sum(binary_cross_entropy(x, False) for x in z) for z, _ in valid_rows(logits)])
  assert made == pytest.approx(expected, rel=1e-5)


def test_background_is_kept_as_often_as_objects_are_of_the_tail():
  # One object in four is of the tail; it costs nothing, nor do the others.
  labels = jnp.array([1, 0, 0, 0] + [NUM_CLASSES] * 1000)
  logits = jnp.full((len(labels), NUM_CLASSES), -50.0).at[4:, 1:3].set(2.0)
  logits = logits.at[jnp.arange(4), labels[:4]].set(50.0)
  made = drop_loss(logits, labels, jnp.ones(len(labels), bool), jnp.array([False, True, False, False]), KEY)
  # Class 1 is of the tail, class 2 is not.
  kept = float(made) * len(labels) / binary_cross_entropy(2.0, False) - 1000
  assert kept == pytest.approx(250, abs=45)


def test_padding():
  tail = jnp.array([False, True, False, True])
  padding_does_nothing(lambda *rows: drop_loss(*rows, tail, KEY), NUM_CLASSES)
