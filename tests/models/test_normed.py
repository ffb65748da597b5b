"""The cosine classifier of the seesaw loss, by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdet.models.layers.normed import normed_predictor
from jaxdet.models.roi_heads.conv_mask_head import ConvMaskHead

KERNEL = jnp.array([[3.0, 0.0], [4.0, 2.0]])
BIAS = jnp.array([0.5, -0.5])


def test_cosines_times_temperature():
  made = normed_predictor(jnp.array([[1.0, 0.0], [0.0, 7.0]]), KERNEL, BIAS)
  np.testing.assert_allclose(made, [[20 * 0.6 + 0.5, -0.5], [20 * 0.8 + 0.5, 20 - 0.5]], rtol=1e-5)


def test_power_and_eps():
  made = normed_predictor(jnp.array([0.0, 4.0]), KERNEL, BIAS, temperature=1.0, power=2.0, eps=1.0)
  np.testing.assert_allclose(made, [4 / 17 * 4 / 26 + 0.5, 4 / 17 * 2 / 5 - 0.5], rtol=1e-5)


def test_a_map_is_taken_pixel_by_pixel():
  image = jnp.arange(24.0).reshape(2, 3, 2, 2)
  made = normed_predictor(image, KERNEL, BIAS)
  assert made.shape == (2, 3, 2, 2)
  np.testing.assert_allclose(made[1, 2, 0], normed_predictor(image[1, 2, 0], KERNEL, BIAS), rtol=1e-6)


def test_features_of_zero_have_gradient():
  gradient = jax.grad(lambda x: normed_predictor(x, KERNEL, BIAS, eps=1.0)[0])(jnp.zeros(2))
  np.testing.assert_allclose(gradient, [20 * 3 / 6, 20 * 4 / 6], rtol=1e-5)


def test_a_mask_of_a_label_is_the_same_as_of_all_classes():
  head = ConvMaskHead(3, num_convs=0, channels=4, norm='', class_agnostic=False, predictor='normed')
  features, labels = jax.random.normal(jax.random.key(0), (1, 2, 2, 2, 5)), jnp.array([[2, 0]])
  variables = head.init(jax.random.key(1), features, labels)
  of_all, of_label = head.apply(variables, features, None), head.apply(variables, features, labels)
  np.testing.assert_allclose(of_label[0, 0], of_all[0, 0, ..., 2], rtol=1e-5)
  assert np.abs(of_all).max() <= 20
