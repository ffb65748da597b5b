"""Every class loss by the name and settings that a config gives it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses import reweighted, seesaw
from jaxdet.losses.class_loss import CLASS_LOSSES, make_class_loss

K = 4
COUNTS = {'images': (50, 20, 5, 1), 'instances': (2000, 300, 50, 5), 'num_images': 60}
SETTINGS = {
  'cross_entropy': {},
  'reweighted': {'scale': 0.8},
  'logit_adjusted': {'tau': 1.0, 'background': 0.75},
  'federated': {'slots': 3, 'power': 0.5},
  'equalization': {'below': 0.1},
  'droploss': {'below': 0.1},
  'acsl': {'threshold': 0.7},
  'equalization_v2': {'mu': 0.8, 'alpha': 4.0, 'gamma': 12.0},
  'seesaw': {'p': 0.8, 'q': 2.0},
  'balanced_group_softmax': {'bounds': (10, 100, 1000), 'others': 8},
}
LABELS = jnp.array([[0, 3, K, K, 1, 2]])
VALID = jnp.array([[True, True, True, True, True, False]])


def made(name, counts=COUNTS):
  return make_class_loss({'name': name, **SETTINGS[name]}, K, counts)


def logits_for(loss):
  return jax.random.normal(jax.random.key(0), (*LABELS.shape, loss.columns))


def test_every_loss_is_tried():
  assert set(SETTINGS) == set(CLASS_LOSSES)


@pytest.mark.parametrize('name', CLASS_LOSSES)
def test_a_step_down_the_gradient_lowers_the_loss(name):
  loss, key = made(name), jax.random.key(1)
  value = jax.jit(lambda logits: loss.loss(logits, LABELS, VALID, key, loss.state)[0])
  logits = logits_for(loss)
  gradient = jax.grad(value)(logits)
  assert np.isfinite(gradient).all() and not gradient[0, -1].any()
  assert value(logits - 0.01 * gradient) < value(logits)


@pytest.mark.parametrize('name', CLASS_LOSSES)
def test_scores_are_probabilities_of_the_classes(name):
  loss = made(name)
  scores = loss.scores(logits_for(loss))
  assert scores.shape == (*LABELS.shape, K)
  assert (scores >= 0).all() and (scores <= 1).all()


@pytest.mark.parametrize('name', CLASS_LOSSES)
def test_states_keep_their_form(name):
  loss = made(name)
  _, state = loss.loss(logits_for(loss), LABELS, VALID, jax.random.key(1), loss.state)
  assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, loss.state)
  if loss.state:
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(loss.state), strict=True))


def test_the_settings_reach_the_method():
  loss = made('reweighted')
  logits = logits_for(loss)
  weights = reweighted.class_weights(jnp.array(COUNTS['instances']), 0.8)
  expected = reweighted.reweighted_loss(logits, LABELS, VALID, weights)
  np.testing.assert_allclose(loss.loss(logits, LABELS, VALID, None, {})[0], expected, rtol=1e-6)
  loss = made('seesaw')
  logits = logits_for(loss)
  expected, _ = seesaw.seesaw_loss(logits, LABELS, VALID, loss.state, 0.8, 2.0)
  np.testing.assert_allclose(loss.loss(logits, LABELS, VALID, None, loss.state)[0], expected, rtol=1e-6)


def test_counts_that_are_not_known_are_asked_for_when_they_are_needed():
  unknown = {'images': (), 'instances': (), 'num_images': 0}
  loss = made('federated', unknown)
  logits = logits_for(loss)
  assert loss.scores(logits).shape[-1] == K
  with pytest.raises(ValueError, match="'federated' needs config.model.class_counts.images"):
    loss.loss(logits, LABELS, VALID, jax.random.key(0), {})


def test_an_unknown_name():
  with pytest.raises(ValueError, match="unknown class loss 'sesaw': choose one of cross_entropy"):
    make_class_loss({'name': 'sesaw'}, K, COUNTS)
