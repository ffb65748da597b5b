"""Equalization loss: by hand and on padding."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.equalization import equalization_loss, tail_classes
from region_case import (
  LABELS,
  NUM_CLASSES,
  VALID,
  binary_cross_entropy,
  padding_does_nothing,
  random_logits,
  valid_rows,
)

TAIL = jnp.array([False, True, False, True])


def test_the_tail_is_what_few_images_hold():
  assert tail_classes(jnp.array([17, 18, 0, 5000]), num_images=10_000).tolist() == [True, False, True, False]
  assert tail_classes(jnp.array([10, 11]), num_images=10_000, below=0.0010062).tolist() == [True, False]


def test_objects_are_no_negatives_of_the_tail():
  logits = random_logits(NUM_CLASSES)
  expected = 0.0
  for z, label in valid_rows(logits):
    for j in range(NUM_CLASSES):
      is_foreground, y = label != NUM_CLASSES, float(label == j)
      weight = 1 - is_foreground * float(TAIL[j]) * (1 - y)
      expected += weight * binary_cross_entropy(z[j], y == 1) / VALID.sum()
  assert equalization_loss(logits, LABELS, VALID, TAIL) == pytest.approx(expected, rel=1e-5)


def test_a_background_column_counts_for_nothing():
  logits = random_logits(NUM_CLASSES + 1)
  without = equalization_loss(logits[..., :-1], LABELS, VALID, TAIL)
  np.testing.assert_array_equal(equalization_loss(logits, LABELS, VALID, TAIL), without)


def test_padding():
  padding_does_nothing(lambda *rows: equalization_loss(*rows, TAIL), NUM_CLASSES)
