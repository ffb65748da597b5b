"""Corner pooling: a row by hand, and mmcv's operator with its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.ops.corner_pool import SIDES, corner_pool
from op_case import op_case

ROW = np.float32([1, 3, 3, 2, 5, 0]).reshape(1, 1, 6, 1)


def test_a_left_corner_looks_to_the_right_and_a_right_one_to_the_left():
  assert corner_pool(ROW, 'left').ravel().tolist() == [5, 5, 5, 5, 5, 0]
  assert corner_pool(ROW, 'right').ravel().tolist() == [1, 3, 3, 3, 5, 5]
  column = ROW.reshape(1, 6, 1, 1)
  assert corner_pool(column, 'top').ravel().tolist() == [5, 5, 5, 5, 5, 0]
  assert corner_pool(column, 'bottom').ravel().tolist() == [1, 3, 3, 3, 5, 5]


def test_the_gradient_of_a_cell_goes_to_its_maximum_the_nearest_of_equal_ones():
  weights = np.float32([1, 2, 4, 8, 16, 32]).reshape(ROW.shape)
  gradient = jax.grad(lambda x: (corner_pool(x, 'right') * weights).sum())(ROW)
  assert gradient.ravel().tolist() == [1, 2, 4 + 8, 0, 16 + 32, 0]
  gradient = jax.grad(lambda x: (corner_pool(x, 'left') * weights).sum())(ROW)
  assert gradient.ravel().tolist() == [0, 0, 0, 0, 1 + 2 + 4 + 8 + 16, 32]


def test_gradients_of_a_long_row_are_summed_in_float32():
  x = jnp.zeros((1, 1, 512, 1), jnp.bfloat16).at[0, 0, 0].set(1)
  gradient = jax.grad(lambda x: corner_pool(x, 'right').astype(jnp.float32).sum())(x)
  assert gradient.dtype == jnp.bfloat16 and gradient.ravel()[0] == 512 and not gradient.ravel()[1:].any()


@pytest.mark.parametrize('side', SIDES)
def test_equals_mmcv(side):
  case = op_case('corner_pool', side)
  x = case.inputs['x'].transpose(0, 2, 3, 1)
  out, pull_back = jax.vjp(lambda x: corner_pool(x, side), x)
  np.testing.assert_array_equal(out.transpose(0, 3, 1, 2), case.outputs['out'])
  cotangent = case.cotangent(case.outputs['out'].shape).transpose(0, 2, 3, 1)
  np.testing.assert_allclose(
    pull_back(cotangent)[0].transpose(0, 3, 1, 2), case.outputs['grad/x'], rtol=1e-5, atol=1e-6
  )
