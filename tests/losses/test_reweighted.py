"""The re-weighted loss of DisAlign: weights and loss by hand, on padding, and weights as recorded."""

import jax.numpy as jnp
import numpy as np
import pytest

import parity_kit
from jaxdet.losses.reweighted import class_weights, reweighted_loss
from region_case import LABELS, NUM_CLASSES, VALID, cross_entropy, padding_does_nothing, random_logits, valid_rows


def test_weights_sum_to_the_number_of_classes():
  np.testing.assert_allclose(class_weights(jnp.array([1, 2, 4]), scale=1.0), [12 / 7, 6 / 7, 3 / 7, 1.0], rtol=1e-5)
  np.testing.assert_allclose(class_weights(jnp.array([1, 4]), scale=0.5), [4 / 3, 2 / 3, 1.0], rtol=1e-5)
  np.testing.assert_allclose(class_weights(jnp.array([7, 4]), scale=0.0), [1.0, 1.0, 1.0], rtol=1e-5)


def test_classes_without_instances_count_as_one():
  np.testing.assert_array_equal(class_weights(jnp.array([0, 4]), 0.8), class_weights(jnp.array([1, 4]), 0.8))


def test_the_mean_is_weighted():
  logits, weights = random_logits(NUM_CLASSES + 1), np.array([0.5, 3.0, 2.0, 0.1, 1.0])
  total = sum(weights[label] * cross_entropy(z, label) for z, label in valid_rows(logits))
  expected = total / sum(weights[label] for _, label in valid_rows(logits))
  assert reweighted_loss(logits, LABELS, VALID, jnp.asarray(weights)) == pytest.approx(expected, rel=1e-5)


def test_padding():
  weights = jnp.array([0.5, 3.0, 2.0, 0.1, 1.0])
  padding_does_nothing(lambda *rows: reweighted_loss(*rows, weights), NUM_CLASSES + 1)


def test_weights_are_disaligns():
  arrays, _ = parity_kit.case('disalign/lvisv1_disalign')
  counts = np.floor(1 + 5000 * parity_kit.recipe().uniform('disalign|num_shots', (1203,)) ** 4)
  np.testing.assert_allclose(class_weights(jnp.asarray(counts), scale=0.8), arrays['grw/weights'], rtol=1e-4)
