"""The focal loss of heat maps: by hand, and mmdetection's."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdet.losses.gaussian_focal import gaussian_focal_loss
from op_case import op_case


def test_by_hand():
  p, heat = np.float32([0.7, 0.7, 0.2]), np.float32([1.0, 0.5, 0.0])
  expected = -(0.3**2) * np.log(0.7) - 0.5**4 * 0.7**2 * np.log(0.3) - 0.2**2 * np.log(0.8)
  np.testing.assert_allclose(gaussian_focal_loss(jax.scipy.special.logit(p), heat, 2.0, 4.0), expected, rtol=1e-5)


def test_certain_mistakes_have_finite_losses_and_gradients():
  logits, heat = jnp.array([-90.0, 90.0, 90.0, -90.0]), jnp.array([1.0, 0.0, 1.0, 0.0])
  loss, gradient = jax.value_and_grad(gaussian_focal_loss)(logits, heat, 2.0, 4.0)
  np.testing.assert_allclose(loss, 180.0, rtol=1e-6)
  np.testing.assert_allclose(gradient, [-1, 1, 0, 0], atol=1e-6)


def test_equals_mmdetection():
  case = op_case('losses', 'gaussian_focal')
  p, heat = case.inputs['pred'], case.inputs['target']
  heat = np.where(heat > 0.97, np.float32(1), heat)
  divisor = case.args['avg_factor']
  logits = jax.scipy.special.logit(p)
  loss, gradient = jax.value_and_grad(gaussian_focal_loss)(logits, heat, case.args['alpha'], case.args['gamma'])
  np.testing.assert_allclose(loss / divisor, case.outputs['loss'], rtol=1e-5)
  gradient = gradient * case.cotangent(()) / divisor
  np.testing.assert_allclose(gradient, case.outputs['grad/pred'] * p * (1 - p), rtol=1e-4, atol=1e-7)
