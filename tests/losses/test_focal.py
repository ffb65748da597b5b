"""The focal loss of labelled rows; the formula itself is tested in test_classification.py."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdet.losses.focal import focal_loss, focal_loss_of_levels
from op_case import op_case

LOGIT = np.log(3.0)  # probability 3/4


def test_by_hand():
  logits = jnp.array([[LOGIT, -LOGIT], [LOGIT, LOGIT]])
  own = 0.25 / 16 * np.log(4 / 3)  # (1 - 3/4)^2, -log 3/4
  right_other = 0.75 / 16 * np.log(4 / 3)
  wrong_other = 0.75 * 9 / 16 * np.log(4)
  labels, valid = jnp.array([0, 2]), jnp.array([True, True])  # the second row is background
  total = focal_loss(logits, labels, valid, alpha=0.25, gamma=2.0)
  assert total == pytest.approx(own + right_other + 2 * wrong_other, rel=1e-5)


def test_rows_that_are_not_valid_change_nothing():
  logits, labels, valid = jnp.array([[1.0, -2.0], [np.nan, np.inf]]), jnp.array([1, 7]), jnp.array([True, False])
  loss, gradient = jax.value_and_grad(focal_loss)(logits, labels, valid, 0.25, 2.0)
  assert loss == focal_loss(logits[:1], labels[:1], valid[:1], 0.25, 2.0)
  assert gradient[1].tolist() == [0.0, 0.0] and np.isfinite(gradient[0]).all()


@pytest.mark.parametrize('gamma', [0.0, 1.5, 2.0])
def test_loss_and_gradient_are_those_of_the_formula(gamma):
  rng = np.random.default_rng(0)
  logits = jnp.asarray(rng.normal(size=(2, 50, 7)) * 6, jnp.float32)
  labels, valid = jnp.asarray(rng.integers(0, 8, (2, 50))), jnp.asarray(rng.random((2, 50)) < 0.8)

  def formula(logits):
    each = optax.sigmoid_focal_loss(logits, jax.nn.one_hot(labels, 7), alpha=0.3, gamma=gamma)
    return 5 * (each.sum(-1) * valid).sum()

  found = jax.value_and_grad(lambda logits: 5 * focal_loss(logits, labels, valid, 0.3, gamma))(logits)
  expected = jax.value_and_grad(formula)(logits)
  np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
  np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-7)


def test_certain_logits_have_finite_gradients():
  logits, valid = jnp.array([[-1e4, 1e4], [-200.0, 200.0], [0.0, 50.0]]), jnp.ones(3, bool)
  for labels in (jnp.array([0, 0, 0]), jnp.array([1, 1, 1]), jnp.array([2, 2, 2])):
    value, gradient = jax.value_and_grad(focal_loss)(logits, labels, valid, 0.25, 2.0)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_the_gradient_has_the_type_of_the_logits():
  logits = jnp.array([[1.0, -2.0]], jnp.bfloat16)
  assert jax.grad(focal_loss)(logits, jnp.array([0]), jnp.array([True]), 0.25, 2.0).dtype == jnp.bfloat16


def test_levels_are_summed_in_the_order_of_their_rows():
  rng = np.random.default_rng(0)
  logits = jnp.asarray(rng.normal(size=(2, 12, 3)), jnp.float32)
  labels, valid = jnp.asarray(rng.integers(0, 4, (2, 12))), jnp.asarray(rng.random((2, 12)) < 0.8)
  levels = [logits[:, :7], logits[:, 7:11], logits[:, 11:]]
  found = focal_loss_of_levels(levels, labels, valid, 0.25, 2.0)
  np.testing.assert_allclose(found, focal_loss(logits, labels, valid, 0.25, 2.0), rtol=1e-6)
  with pytest.raises(ValueError, match='levels have 11 rows, but there are labels of 12'):
    focal_loss_of_levels(levels[:2], labels, valid, 0.25, 2.0)


def test_it_is_mmdetections():
  recorded = op_case('losses', 'focal')
  inputs, factor = recorded.inputs, recorded.args['avg_factor']

  def loss(logits):
    # Its rows have weights, which here are 0 or 1.
    valid = jnp.ones(1, bool)
    each = [focal_loss(logits[i : i + 1], inputs['labels'][i : i + 1], valid, 0.25, 2.0) for i in range(40)]
    return (jnp.stack(each) * inputs['weight']).sum() / factor

  value, gradient = jax.jit(jax.value_and_grad(loss))(jnp.asarray(inputs['pred']))
  np.testing.assert_allclose(value, recorded.outputs['loss'], rtol=1e-5)
  np.testing.assert_allclose(gradient * recorded.cotangent(()), recorded.outputs['grad/pred'], rtol=1e-4, atol=1e-7)
