"""The last layers of box heads for long tails, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models.build import build_detector
from jaxdet.models.roi_heads.classifiers import CosineClassifier, DisAlign
from small_detector import CLASSES, small_config


def test_a_cosine_classifier_knows_angles_only():
  kernel = jnp.array([[3.0, 0, 1], [0, 0.5, 1]])
  params = {'kernel': kernel, 'scale': jnp.array([20.0])}
  logits = CosineClassifier(3).apply({'params': params}, jnp.array([[2.0, 0], [0, -7], [0, 0]]))
  half = 20 / np.sqrt(2)
  np.testing.assert_allclose(logits, [[20, 0, half], [0, -20, -half], [0, 0, 0]], rtol=1e-6, atol=1e-6)


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
  moved = DisAlign().apply({'params': params}, logits, x)
  # Confidences are 1/2 and 3/4.
  np.testing.assert_allclose(moved, [[1.5, 0.5, 5], [1.75, 1.25, 5]], rtol=1e-6)


def test_a_calibration_is_all_that_is_trained():
  config = small_config().copy_and_resolve_references()
  config.model.roi.box_head.update(classifier='cosine', calibration='disalign')
  detector = build_detector(config.model, CLASSES)
  params = jax.eval_shape(detector.init, jax.random.key(0))['params']
  trainable = jax.tree_util.tree_leaves_with_path(detector.trainable(params))
  trained = {jax.tree_util.keystr(path, simple=True, separator='/') for path, value in trainable if value}
  calibration = 'box_head/calibration'
  assert trained == {
    f'{calibration}/scale',
    f'{calibration}/bias',
    f'{calibration}/confidence/kernel',
    f'{calibration}/confidence/bias',
  }


@pytest.mark.parametrize('key, value', [('classifier', 'cosin'), ('calibration', 'disaling')])
def test_mistakes_are_named(key, value):
  config = small_config().copy_and_resolve_references()
  config.model.roi.box_head[key] = value
  with pytest.raises(ValueError, match=value):
    jax.eval_shape(build_detector(config.model, CLASSES).init, jax.random.key(0))
