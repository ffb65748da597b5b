"""The last layers of box heads for long tails, by hand."""


import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models.build import build_detector
from jaxdet.models.initialize import variable_shapes
from jaxdet.models.roi_heads.classifiers import CosineClassifier, DisAlign, LearnableScaling, LinearClassifier
from jaxdet.training import freezing
from small_detector import CLASSES, small_config


def test_a_cosine_classifier_knows_angles_only():
  kernel = jnp.array([[3.0, 0, 1], [0, 0.5, 1]])
  params = {'kernel': kernel, 'scale': jnp.array([20.0])}
  logits = CosineClassifier(3).apply({'params': params}, jnp.array([[2.0, 0], [0, -7], [0, 0]]))
  half = 20 / np.sqrt(2)
  np.testing.assert_allclose(logits, [[20, 0, half], [0, -20, -half], [0, 0, 0]], rtol=1e-6, atol=1e-6)


def test_a_cosine_classifier_with_a_fixed_scale_and_a_bias():
  params = {'kernel': jnp.array([[3.0, 0], [0, 0.5]]), 'bias': jnp.array([1.0, -1])}
  classifier = CosineClassifier(2, scale=10.0, learned_scale=False, bias=True)
  assert set(classifier.init(jax.random.key(0), jnp.zeros((1, 2)))['params']) == {'kernel', 'bias'}
  np.testing.assert_allclose(classifier.apply({'params': params}, jnp.array([[2.0, 0]])), [[11, -1]], rtol=1e-6)


def test_classes_begin_with_the_bias_of_their_prior_and_background_with_none():
  params = LinearClassifier(num_classes=2, num_logits=3, class_bias=-4.0).init(jax.random.key(0), jnp.zeros((1, 5)))
  np.testing.assert_array_equal(params['params']['bias'], [-4, -4, 0])


def test_tau_normalisation_gives_classes_the_mean_length_and_leaves_background():
  params = {'kernel': jnp.array([[3.0, 0, 7], [4.0, 1, 7]]), 'bias': jnp.array([0.0, 1, 2])}
  x = jnp.array([[1.0, 1]])
  whole = LinearClassifier(2, 3, tau=1.0).apply({'params': params}, x)
  # The lengths are 5 and 1, their mean is 3.
  np.testing.assert_allclose(whole, [[7 * 3 / 5, 3 + 1, 16]], rtol=1e-6)
  half = LinearClassifier(2, 3, tau=0.5).apply({'params': params}, x)
  np.testing.assert_allclose(half, [[7 * np.sqrt(3 / 5), np.sqrt(3) + 1, 16]], rtol=1e-6)


def test_learnable_scaling_leaves_background():
  moved = LearnableScaling(2).apply({'params': {'scale': jnp.array([2.0, 3])}}, jnp.array([[1.0, -1, 5]]), None)
  np.testing.assert_array_equal(moved, [[2, -3, 5]])


def test_a_region_of_zeros_has_a_finite_gradient():
  classifier = CosineClassifier(3)
  x = jnp.zeros((1, 2))
  variables = classifier.init(jax.random.key(0), x)
  gradient = jax.grad(lambda x: classifier.apply(variables, x).sum())(x)
  assert np.isfinite(gradient).all()


def test_disalign_mixes_scaled_logits_by_confidence_and_leaves_background():
  params = {
    'scale': jnp.array([2.0, 1.0]),
    'bias': jnp.array([0.0, 3.0]),
    'confidence': {'kernel': jnp.array([[1.0]]), 'bias': jnp.array([0.0])},
  }
  logits, x = jnp.array([[1.0, -1, 5], [1.0, -1, 5]]), jnp.array([[0.0], [np.log(3.0)]])
  moved = DisAlign(2).apply({'params': params}, logits, x)
  # Confidences are 1/2 and 3/4.
  np.testing.assert_allclose(moved, [[1.5, 0.5, 5], [1.75, 1.25, 5]], rtol=1e-6)


@pytest.mark.parametrize(
  'settings, parts',
  [
    (
      {'classifier': 'cosine', 'calibration': 'disalign'},
      ('calibration/scale', 'calibration/bias', 'calibration/confidence/kernel', 'calibration/confidence/bias'),
    ),
    ({'calibration': 'lws'}, ('calibration/scale',)),
    ({}, ('logits/kernel', 'logits/bias')),
  ],
)
def test_a_calibration_or_a_retrained_classifier_is_all_that_is_trained(settings, parts):
  config = small_config().copy_and_resolve_references()
  config.model.roi.box_head.update(settings)
  part = 'calibration' if 'calibration' in settings else 'logits'
  config.model.frozen = (rf'^(?!box_head/{part}/)',)
  detector = build_detector(config.model, CLASSES)
  params = variable_shapes(detector)['params']
  trainable = jax.tree_util.tree_leaves_with_path(freezing.trainable(params, config.model.frozen))
  trained = {jax.tree_util.keystr(path, simple=True, separator='/') for path, value in trainable if value}
  assert trained == {f'box_head/{part}' for part in parts}


@pytest.mark.parametrize('key, value', [('classifier', 'cosin'), ('calibration', 'disaling')])
def test_mistakes_are_named(key, value):
  config = small_config().copy_and_resolve_references()
  config.model.roi.box_head[key] = value
  with pytest.raises(ValueError, match=value):
    variable_shapes(build_detector(config.model, CLASSES))
