"""Embeddings of corners: by hand, and mmdetection's losses."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdet.losses.associative_embedding import pull_and_push
from op_case import op_case


def test_corners_are_pulled_to_their_mean_and_means_pushed_apart_up_to_the_margin():
  one, other = jnp.array([[1.0], [1.2], [5.0]]), jnp.array([[0.0], [0.4], [5.0]])  # means 0.5, 0.8, 5
  pull, push = pull_and_push(one, other, jnp.ones(3, bool))
  np.testing.assert_allclose(pull, (2 * 0.25 + 2 * 0.16) / 3, rtol=1e-6)
  np.testing.assert_allclose(push, 2 * (1 - 0.3) / 6, rtol=1e-6)


def test_rows_without_an_object_change_nothing():
  one, other = jnp.array([[1.0], [1.2], [0.0]]), jnp.array([[0.0], [0.4], [0.0]])
  padded = pull_and_push(one, other, jnp.array([True, True, False]))
  np.testing.assert_allclose(padded, pull_and_push(one[:2], other[:2], jnp.ones(2, bool)), rtol=1e-6)


def test_one_object_pushes_nobody_and_none_costs_nothing():
  one, other = jnp.array([[1.0], [3.0]]), jnp.zeros((2, 1))
  np.testing.assert_allclose(pull_and_push(one, other, jnp.array([True, False])), (0.5, 0.0))
  value, gradient = jax.value_and_grad(lambda x: sum(pull_and_push(x, other, jnp.zeros(2, bool))))(one)
  assert value == 0 and not gradient.any()


def test_equals_mmdetection():
  case = op_case('losses', 'associative_embedding')
  cells = np.array([[[1, 2], [5, 6]], [[3, 3], [9, 7]], [[0, 0], [11, 11]]])  # as recorded
  one, other = (case.inputs[name][0, 0][cells[:, k, 0], cells[:, k, 1]][:, None] for k, name in enumerate(('tl', 'br')))
  pull, push = pull_and_push(one, other, np.ones(3, bool))
  np.testing.assert_allclose(case.args['pull_weight'] * pull, case.outputs['pull'], rtol=1e-5)
  np.testing.assert_allclose(case.args['push_weight'] * push, case.outputs['push'], rtol=1e-5)
