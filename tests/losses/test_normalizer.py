"""By what dense detectors divide."""

import jax.numpy as jnp
import pytest

from jaxdet.losses.normalizer import initial_state, normalizer

POSITIVE = jnp.array([[True, True, True, True], [False] * 4, [True, True, False, False]])
RUNNING = {'name': 'running', 'initial': 100.0, 'momentum': 0.9}


def test_the_batchs_own_positives():
  assert normalizer(POSITIVE, {'name': 'batch'}, {}) == (6.0, {})
  assert normalizer(POSITIVE & False, {'name': 'batch'}, {}) == (1.0, {})


def test_every_image_counts_at_least_one():
  assert normalizer(POSITIVE, {'name': 'images'}, {}) == (7.0, {})


def test_a_running_mean_moves_before_it_divides():
  state = initial_state(RUNNING)
  first, state = normalizer(POSITIVE, RUNNING, state)
  assert first == pytest.approx(90.6)  # 0.9 * 100 + 0.1 * 6
  second, _ = normalizer(POSITIVE & False, RUNNING, state)
  assert second == pytest.approx(0.9 * 90.6 + 0.1)


def test_an_unknown_name_is_an_error():
  with pytest.raises(ValueError, match="'mean'"):
    initial_state({'name': 'mean'})
