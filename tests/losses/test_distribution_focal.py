"""Numbers as distributions: their loss and their mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.distribution_focal import distribution_focal_loss, distribution_mean
from op_case import op_case

LOGITS = jnp.log(jnp.array([0.1, 0.2, 0.3, 0.4]))


def test_the_mean_of_a_distribution():
  assert distribution_mean(LOGITS) == pytest.approx(0.2 + 0.6 + 1.2)


@pytest.mark.parametrize(
  'target, expected',
  [
    (2.0, -np.log(0.3)),
    (1.25, -0.75 * np.log(0.2) - 0.25 * np.log(0.3)),
    (2.9, -0.1 * np.log(0.3) - 0.9 * np.log(0.4)),
    (0.0, -np.log(0.1)),
  ],
)
def test_the_two_neighbours_of_a_target_share_it(target, expected):
  assert distribution_focal_loss(LOGITS, jnp.float32(target)) == pytest.approx(expected, rel=1e-5)


def test_it_is_least_where_the_neighbours_have_the_target_as_their_mean():
  best = jnp.log(jnp.array([1e-6, 0.75, 0.25, 1e-6]))
  gradient = jax.grad(distribution_focal_loss)(best, jnp.float32(1.25))
  np.testing.assert_allclose(gradient, 0.0, atol=1e-5)


def test_it_is_mmdetections():
  recorded = op_case('losses', 'distribution_focal')
  inputs, args = recorded.inputs, recorded.args

  def loss(logits):
    each = distribution_focal_loss(logits, inputs['target']) * inputs['weight']
    return args['loss_weight'] * each.sum() / args['avg_factor']

  value, gradient = jax.jit(jax.value_and_grad(loss))(jnp.asarray(inputs['pred']))
  np.testing.assert_allclose(value, recorded.outputs['loss'], rtol=1e-5)
  np.testing.assert_allclose(gradient * recorded.cotangent(()), recorded.outputs['grad/pred'], rtol=1e-4, atol=1e-7)
