"""The quality focal loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.quality_focal import quality_focal_loss
from op_case import op_case

LOGIT = np.log(3.0)  # probability 3/4


def test_by_hand():
  logits, quality = jnp.array([[LOGIT, LOGIT]]), jnp.array([0.5])
  own = (1 / 4) ** 2 * -(0.5 * np.log(3 / 4) + 0.5 * np.log(1 / 4))
  other = (3 / 4) ** 2 * -np.log(1 / 4)
  valid = jnp.array([True])
  assert quality_focal_loss(logits, jnp.array([1]), valid, quality, 2.0) == pytest.approx(own + other, rel=1e-5)
  # The quality of background is 0, whatever is given.
  assert quality_focal_loss(logits, jnp.array([2]), valid, quality, 2.0) == pytest.approx(2 * other, rel=1e-5)


def test_a_box_as_good_as_told_costs_nothing_more_to_change():
  def loss(logit):
    logits = jnp.stack([logit, jnp.float32(-30.0)])[None]
    return quality_focal_loss(logits, jnp.array([0]), jnp.array([True]), jnp.array([0.75]), 2.0)

  assert loss(jnp.float32(LOGIT)) == pytest.approx(0.0, abs=1e-6)
  assert jax.grad(loss)(jnp.float32(LOGIT)) == pytest.approx(0.0, abs=1e-6)


def test_rows_that_are_not_valid_change_nothing():
  logits, labels = jnp.array([[1.0, -2.0], [np.nan, np.inf]]), jnp.array([1, 7])
  valid, quality = jnp.array([True, False]), jnp.array([0.3, 0.9])
  loss, gradient = jax.value_and_grad(quality_focal_loss)(logits, labels, valid, quality, 2.0)
  assert loss == quality_focal_loss(logits[:1], labels[:1], valid[:1], quality[:1], 2.0)
  assert gradient[1].tolist() == [0.0, 0.0] and np.isfinite(gradient[0]).all()


def test_it_is_mmdetections():
  recorded = op_case('losses', 'quality_focal')
  inputs, factor = recorded.inputs, recorded.args['avg_factor']

  def loss(logits):
    each = jax.vmap(lambda *row: quality_focal_loss(*(x[None] for x in row), 2.0))(
      logits, inputs['labels'], jnp.ones(40, bool), inputs['quality']
    )
    return (each * inputs['weight']).sum() / factor

  value, gradient = jax.jit(jax.value_and_grad(loss))(jnp.asarray(inputs['pred']))
  np.testing.assert_allclose(value, recorded.outputs['loss'], rtol=1e-5)
  np.testing.assert_allclose(gradient * recorded.cotangent(()), recorded.outputs['grad/pred'], rtol=1e-4, atol=1e-7)
