"""The focal loss of labelled rows; the formula itself is tested in test_classification.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.focal import focal_loss
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
