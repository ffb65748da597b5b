"""The federated loss: by hand, the classes drawn, on padding, and as recorded from Detic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import parity_kit
from jaxdet.losses.federated import federated_loss, fill_classes, sample_classes
from region_case import (
  LABELS,
  NUM_CLASSES,
  VALID,
  binary_cross_entropy,
  padding_does_nothing,
  random_logits,
  valid_rows,
)


def test_only_sampled_classes_count():
  logits = random_logits(NUM_CLASSES + 1)
  sampled = [0, 2, 3]
  expected = np.mean([sum(binary_cross_entropy(z[c], c == label) for c in sampled) for z, label in valid_rows(logits)])
  classes = jnp.array([True, False, True, True])
  assert federated_loss(logits, LABELS, VALID, classes) == pytest.approx(expected, rel=1e-5)
  # The background column may be there or not.
  assert federated_loss(logits[..., :-1], LABELS, VALID, classes) == pytest.approx(expected, rel=1e-5)


def test_padding():
  padding_does_nothing(lambda *rows: federated_loss(*rows, jnp.array([True, False, True, True])), NUM_CLASSES + 1)


def test_background_takes_one_of_the_slots():
  scores = jnp.array([5.0, 1.0, 2.0, 3.0, 4.0, 0.0, -jnp.inf])
  valid = jnp.array([True, True, False])
  with_background = fill_classes(jnp.array([2, 7, 5]), valid, scores, slots=4)
  assert np.flatnonzero(with_background).tolist() == [0, 2, 4]
  without = fill_classes(jnp.array([2, 2, 5]), valid, scores, slots=4)
  assert np.flatnonzero(without).tolist() == [0, 2, 3, 4]


def test_all_classes_of_the_batch_count_though_the_slots_be_fewer():
  chosen = fill_classes(jnp.arange(5), jnp.ones(5, bool), jnp.zeros(7), slots=3)
  assert np.flatnonzero(chosen).tolist() == [0, 1, 2, 3, 4]


def test_classes_without_images_are_never_drawn():
  scores = jnp.array([-jnp.inf, -jnp.inf, 0.0])
  assert fill_classes(jnp.array([3]), jnp.array([True]), scores, slots=3).tolist() == [False, False, True]


def test_draws_follow_the_root_of_the_image_counts():
  image_counts = jnp.array([0, 1, 4, 9, 100])
  keys = jax.random.split(jax.random.key(0), 4000)
  # One class is in the batch; of the others one is drawn, with weights 0, 1, 2 and 3.
  drawn = jax.vmap(lambda key: sample_classes(jnp.array([4]), jnp.array([True]), image_counts, key, slots=2))(keys)
  assert (drawn.sum(-1) == 2).all() and drawn[:, 4].all()
  np.testing.assert_allclose(drawn.mean(0)[:4], [0, 1 / 6, 2 / 6, 3 / 6], atol=0.03)
  alike = jax.vmap(lambda key: sample_classes(jnp.array([4]), jnp.array([True]), image_counts, key, 2, power=0))(keys)
  np.testing.assert_allclose(alike.mean(0)[:4], 0.25, atol=0.03)


def test_a_recorded_run_of_detic_fills_the_same_classes():
  _, meta = parity_kit.case('detic/LVIS_CenterNet2_R50_Fed_1x')
  scores = jnp.asarray(parity_kit.recipe().uniform('fed', (1203,)))
  for recorded in meta['fed_inds']:
    # Labels come first, in order, and end with background.
    labels = jnp.array(recorded[: recorded.index(1203) + 1])
    chosen = fill_classes(labels, jnp.ones(len(labels), bool), scores, slots=50)
    assert np.flatnonzero(chosen).tolist() == sorted(set(recorded) - {1203})
