"""Layout and arithmetic of the box and mask heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models.roi_heads.conv_fc_box_head import ConvFCBoxHead
from jaxdet.models.roi_heads.conv_mask_head import ConvMaskHead, Deconv


@pytest.fixture(autouse=True)
def exact_products():
  with jax.default_matmul_precision('highest'):
    yield


def make(head, *args):
  """The head's output and variables from random weights, compiled as one program."""
  return jax.jit(head.init_with_output)(jax.random.key(1), *args)


def box_head(num_classes, num_fcs, channels, class_agnostic, dtype=jnp.float32):
  return ConvFCBoxHead(num_classes, num_classes + 1, 0, 0, '', num_fcs, channels, class_agnostic, dtype=dtype)


def test_box_head_gives_a_column_for_background_and_four_deltas_a_class():
  x = jax.random.normal(jax.random.key(0), (2, 5, 3, 3, 4))
  (logits, deltas), variables = make(box_head(7, 2, 16, False, jnp.bfloat16), x)
  assert logits.shape == (2, 5, 8) and deltas.shape == (2, 5, 7, 4)
  assert logits.dtype == deltas.dtype == jnp.float32
  assert set(variables['params']) == {'fc0', 'fc1', 'logits', 'deltas'}
  (_, deltas), _ = make(box_head(7, 2, 16, True), x)
  assert deltas.shape == (2, 5, 1, 4)


def test_a_head_without_box_regression_has_no_deltas():
  x = jax.random.normal(jax.random.key(0), (2, 5, 3, 3, 4))
  (logits, deltas), variables = make(box_head(7, 2, 16, False).clone(box_regression=False), x)
  assert logits.shape == (2, 5, 8) and deltas is None
  assert set(variables['params']) == {'fc0', 'fc1', 'logits'}


def test_convolutions_with_a_norm_before_one_hidden_layer():
  x = jax.random.normal(jax.random.key(0), (2, 5, 3, 3, 4))
  head = ConvFCBoxHead(7, 8, 2, 6, 'gn', 1, 16, False)
  _, variables = make(head, x)
  shapes = jax.tree.map(jnp.shape, variables['params'])
  assert shapes['conv0'] == {'kernel': (3, 3, 4, 6)} and shapes['conv0_norm'] == {'scale': (6,), 'bias': (6,)}
  assert shapes['fc0']['kernel'] == (3 * 3 * 6, 16)


def test_without_hidden_layers_the_region_is_averaged():
  x = jax.random.normal(jax.random.key(0), (1, 2, 3, 3, 4))
  head = box_head(2, 0, 0, True)
  (logits, _), variables = make(head, x)
  weights = variables['params']['logits']
  np.testing.assert_allclose(logits[0], x[0].mean((1, 2)) @ weights['kernel'] + weights['bias'], rtol=1e-5)


def test_deltas_of_a_class_are_neighbours():
  head = box_head(3, 1, 2, False)
  x = jnp.ones((1, 1, 1, 1, 1))
  params = jax.tree.map(jnp.zeros_like, make(head, x)[1]['params'])
  params['deltas']['bias'] = jnp.arange(12.0)
  _, deltas = head.apply({'params': params}, x)
  np.testing.assert_array_equal(deltas[0, 0], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])


def test_regions_are_flattened_by_row_column_channel():
  head = box_head(1, 1, 1, False)
  x = jnp.arange(8.0).reshape(1, 1, 2, 2, 2)
  params = jax.tree.map(jnp.zeros_like, make(head, x)[1]['params'])
  params['fc0']['kernel'] = jnp.zeros((8, 1)).at[3].set(1.0)  # y 0, x 1, channel 1
  params['logits']['kernel'] = jnp.ones((1, 2))
  logits, _ = head.apply({'params': params}, x)
  np.testing.assert_array_equal(logits[0, 0], [3, 3])


def test_deconv_puts_four_pixels_in_place_of_each():
  x = np.arange(4.0, dtype=np.float32).reshape(1, 2, 2, 1)
  kernel = np.array([[1, 10], [100, 1000]], np.float32).reshape(2, 2, 1, 1)
  y = Deconv(1, jnp.float32).apply({'params': {'kernel': kernel, 'bias': jnp.array([0.5])}}, x)
  assert y.shape == (1, 2, 2, 4)
  np.testing.assert_array_equal(y[0, 1, 0], [2.5, 20.5, 200.5, 2000.5])


def test_mask_head_orders_the_pixels_of_a_naive_transposed_convolution():
  head = ConvMaskHead(1, 0, 1, '', False)
  x = jnp.arange(1.0, 5.0).reshape(1, 1, 2, 2, 1)
  params = make(head, x, None)[1]['params']
  params['deconv']['kernel'] = jnp.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(2, 2, 1, 1)
  params['logits']['kernel'] = jnp.ones((1, 1, 1, 1))
  masks = head.apply({'params': params}, x, jnp.zeros((1, 1), jnp.int32))
  expected = [[1, 10, 2, 20], [100, 1000, 200, 2000], [3, 30, 4, 40], [300, 3000, 400, 4000]]
  np.testing.assert_array_equal(masks[0, 0], expected)


def test_masks_by_label_are_those_of_all_classes():
  head = ConvMaskHead(11, 2, 8, '', False)
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 4, 8))
  labels = jnp.array([[0, 5, 10], [3, 3, 7]])
  _, variables = make(head, x, labels)
  variables['params']['logits']['bias'] = jnp.arange(11.0)
  full = head.apply(variables, x, None)
  assert full.shape == (2, 3, 8, 8, 11)
  expected = jnp.take_along_axis(full, labels[:, :, None, None, None], -1)[..., 0]
  np.testing.assert_allclose(head.apply(variables, x, labels), expected, rtol=1e-5, atol=1e-6)


def test_gradients_by_label_are_those_of_all_classes():
  head = ConvMaskHead(5, 1, 4, '', False)
  x = jax.random.normal(jax.random.key(0), (1, 3, 2, 2, 4))
  labels = jnp.array([[4, 1, 1]])
  _, variables = make(head, x, None)

  def full(variables):
    masks = head.apply(variables, x, None)
    return (jnp.take_along_axis(masks, labels[:, :, None, None, None], -1) ** 2).sum()

  some = jax.jit(jax.grad(lambda v: (head.apply(v, x, labels) ** 2).sum()))(variables)
  expected = jax.jit(jax.grad(full))(variables)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), some, expected)


def test_a_class_agnostic_head_has_one_mask_for_all_labels():
  head = ConvMaskHead(1203, 1, 4, '', True, jnp.bfloat16)
  x = jax.random.normal(jax.random.key(0), (1, 2, 2, 2, 4))
  masks, variables = make(head, x, jnp.array([[7, 1202]]))
  assert variables['params']['logits']['kernel'].shape == (1, 1, 4, 1)
  assert masks.shape == (1, 2, 4, 4) and masks.dtype == jnp.float32
  np.testing.assert_array_equal(masks, head.apply(variables, x, None)[..., 0])
