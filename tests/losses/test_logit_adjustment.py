"""Balanced softmax, logit adjustment and the balanced sigmoid: by hand and on padding."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.logit_adjustment import adjusted_logits, balanced_sigmoid_loss, log_prior, logit_adjusted_loss
from region_case import (
  LABELS,
  NUM_CLASSES,
  VALID,
  binary_cross_entropy,
  cross_entropy,
  padding_does_nothing,
  random_logits,
  valid_rows,
)

COUNTS = jnp.array([1000, 1, 30, 200])


def test_the_prior_sums_to_1():
  prior = np.exp(log_prior(jnp.array([6, 0, 3]), background=0.75))
  np.testing.assert_allclose(prior, [0.15, 0.025, 0.075, 0.75], rtol=1e-5)


@pytest.mark.parametrize('tau', [1.0, 0.5])
def test_the_loss_knows_the_prior(tau):
  logits = random_logits(NUM_CLASSES + 1)
  prior = np.array([1000, 1, 30, 200, 3 * 1231]) / (4 * 1231)
  # -log of pi_y^tau e^(z_y) over the sum of pi_j^tau e^(z_j)
  weighted = [(prior**tau * np.exp(z), label) for z, label in valid_rows(logits)]
  expected = np.mean([-np.log(w[label] / w.sum()) for w, label in weighted])
  made = logit_adjusted_loss(logits, LABELS, VALID, log_prior(COUNTS, background=0.75), tau)
  assert made == pytest.approx(expected, rel=1e-5)


def test_balanced_softmax_takes_counts_as_they_are():
  logits = random_logits(NUM_CLASSES + 1)
  counts = np.array([1000, 1, 30, 200, 50])
  expected = np.mean([cross_entropy(z + np.log(counts), label) for z, label in valid_rows(logits)])
  made = logit_adjusted_loss(logits, LABELS, VALID, jnp.log(counts))
  assert made == pytest.approx(expected, rel=1e-5)


def test_after_the_fact_the_prior_is_divided_out():
  prior = np.array([0.1, 0.2, 0.7])
  made = adjusted_logits(jnp.log(jnp.array([0.2, 0.3, 0.5])), jnp.log(prior), tau=2.0)
  np.testing.assert_allclose(np.exp(made), [20.0, 7.5, 0.5 / 0.49], rtol=1e-5)


def test_the_sigmoids_of_objects_are_shifted():
  logits = random_logits(NUM_CLASSES)
  frequency = np.array([1000, 1, 30, 200]) / 5000
  expected = 0.0
  for z, label in valid_rows(logits):
    shift = np.log((1 - frequency) / frequency) if label != NUM_CLASSES else np.zeros(4)
    expected += sum(binary_cross_entropy(z[j] - shift[j], j == label) for j in range(4)) / VALID.sum()
  assert balanced_sigmoid_loss(logits, LABELS, VALID, COUNTS, 5000) == pytest.approx(expected, rel=1e-5)


def test_classes_in_no_image_or_in_all_stay_finite():
  made = balanced_sigmoid_loss(random_logits(2), LABELS % 2, VALID, jnp.array([0, 5000]), 5000)
  assert np.isfinite(made)


def test_padding():
  padding_does_nothing(lambda *rows: logit_adjusted_loss(*rows, log_prior(COUNTS, 0.75)), NUM_CLASSES + 1)
  padding_does_nothing(lambda *rows: balanced_sigmoid_loss(*rows, COUNTS, 5000), NUM_CLASSES)
