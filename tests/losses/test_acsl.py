"""Adaptive class suppression loss: objects by hand, the draw of background, and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.acsl import adaptive_class_suppression_loss
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

KEY = jax.random.key(0)
# frequent, rare, common, rare: by LVIS's bounds of 10 and 100 images
COUNTS = jnp.array([101, 10, 100, 3])


def test_objects_are_negatives_of_what_scores_high():
  logits = random_logits(NUM_CLASSES + 1)
  expected, suppressed = 0.0, 0
  for z, label in valid_rows(logits):
    for j in range(NUM_CLASSES + 1):
      if label == NUM_CLASSES:
        # Of three background regions, none is drawn for common or rare classes.
        counts = j in (0, NUM_CLASSES)
      else:
        counts = j == label or sigmoid(z[j]) >= 0.7
        suppressed += counts and j != label
      expected += counts * binary_cross_entropy(z[j], j == label) / VALID.sum()
  assert suppressed > 0
  made = adaptive_class_suppression_loss(logits, LABELS, VALID, COUNTS, KEY)
  assert made == pytest.approx(expected, rel=1e-5)


def test_background_is_drawn_for_common_and_rare_classes():
  rows = 250
  labels, valid = jnp.full(rows, NUM_CLASSES), jnp.ones(rows, bool)
  # A sigmoid of -50 costs nothing, so each class can be looked at alone; high scores make no difference.
  for column, drawn in ((0, 250), (1, 2), (2, 25), (3, 2), (4, 250)):
    logits = jnp.full((rows, 5), -50.0).at[:, 4].set(50.0).at[:, column].set(2.0)
    made = adaptive_class_suppression_loss(logits, labels, valid, COUNTS, KEY)
    assert made == pytest.approx(drawn / rows * binary_cross_entropy(2.0, column == 4), rel=1e-4)


def test_other_regions_are_drawn_with_another_key():
  logits = jnp.full((20, 5), -50.0).at[:, 2].set(jnp.arange(20.0))
  rows = logits, jnp.full(20, NUM_CLASSES), jnp.ones(20, bool), COUNTS
  made = {float(adaptive_class_suppression_loss(*rows, jax.random.key(seed))) for seed in range(8)}
  assert len(made) > 4
  assert np.isfinite(list(made)).all()


def test_padding():
  padding_does_nothing(lambda *rows: adaptive_class_suppression_loss(*rows, COUNTS, KEY), NUM_CLASSES + 1)
