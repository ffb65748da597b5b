"""Equalization loss v2: two steps by hand, the scores, and padding."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.equalization_v2 import class_scores, equalization_loss_v2, initial_state
from region_case import (
  LABELS,
  NUM_CLASSES,
  VALID,
  binary_cross_entropy,
  padding_does_nothing,
  random_logits,
  sigmoid,
  valid_rows,
)


def by_hand(logits, ratio, positive, negative):
  """The loss, and the accumulated gradients, of K classes and the objectness column behind them."""
  f = np.append(1 / (1 + np.exp(-12 * (ratio - 0.8))), 1.0)
  loss, positive, negative = 0.0, positive.copy(), negative.copy()
  for z, label in valid_rows(logits):
    for j in range(NUM_CLASSES + 1):
      weight = 1 + 4 * (1 - f[j]) if j == label else f[j]
      loss += weight * binary_cross_entropy(z[j], j == label) / VALID.sum()
      if j < NUM_CLASSES and j == label:
        positive[j] += weight * (1 - sigmoid(z[j]))
      elif j < NUM_CLASSES:
        negative[j] += weight * sigmoid(z[j])
  return loss, positive, negative


def test_two_steps():
  first, second = random_logits(NUM_CLASSES + 1, seed=1), random_logits(NUM_CLASSES + 1, seed=2)
  # All weights are 1 in the first step, as with a ratio of 100.
  loss, positive, negative = by_hand(first, np.full(4, 100.0), np.zeros(4), np.zeros(4))
  made, state = equalization_loss_v2(first, LABELS, VALID, initial_state(NUM_CLASSES))
  assert made == pytest.approx(loss, rel=1e-5)
  np.testing.assert_allclose(state['positive'], positive, rtol=1e-5)
  np.testing.assert_allclose(state['negative'], negative, rtol=1e-5)

  loss, positive, negative = by_hand(second, positive / negative, positive, negative)
  made, state = equalization_loss_v2(second, LABELS, VALID, state)
  assert made == pytest.approx(loss, rel=1e-4)
  np.testing.assert_allclose(state['positive'], positive, rtol=1e-4)
  np.testing.assert_allclose(state['negative'], negative, rtol=1e-4)


def test_scores_are_those_of_objects():
  scores = class_scores(jnp.log(jnp.array([1.0, 3.0, 1 / 3])))
  np.testing.assert_allclose(scores, [0.5 * 0.75, 0.75 * 0.75], rtol=1e-5)


def test_padding():
  state = {'positive': jnp.array([1.0, 0.1, 2.0, 0.7]), 'negative': jnp.ones(4)}
  padding_does_nothing(lambda *rows: equalization_loss_v2(*rows, state), NUM_CLASSES + 1)


def test_a_batch_without_regions_leaves_the_weights_alone():
  logits, nothing = random_logits(NUM_CLASSES + 1), jnp.zeros_like(VALID)
  _, state = equalization_loss_v2(logits, LABELS, nothing, initial_state(NUM_CLASSES))
  first, _ = equalization_loss_v2(logits, LABELS, VALID, initial_state(NUM_CLASSES))
  after, _ = equalization_loss_v2(logits, LABELS, VALID, state)
  assert after == first
