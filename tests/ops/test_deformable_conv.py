"""Deformable convolution: upstream's numbers and gradients, and what it is without offsets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import parity_kit
from jaxdet.ops.deformable_conv import deformable_conv
from op_case import op_case

TOLERANCE = {'rtol': 1e-4, 'atol': 2e-5}


def nhwc(x):
  return jnp.moveaxis(jnp.asarray(x), 1, -1)


def upstream(x, weight, offset, mask, stride, padding, dilation, groups, deform_groups):
  """The operator with upstream's arguments and layouts."""
  taps = weight.shape[2] * weight.shape[3]
  offsets = nhwc(offset)
  offsets = offsets.reshape(*offsets.shape[:3], deform_groups, taps, 2)
  modulation = None if mask is None else nhwc(mask).reshape(offsets.shape[:-1])
  kernel = jnp.asarray(weight).transpose(2, 3, 1, 0)
  y = deformable_conv(nhwc(x), kernel, offsets, modulation, stride, dilation, groups, padding)
  return jnp.moveaxis(y, -1, 1)


@pytest.mark.parametrize(
  'operator, name',
  [
    *(('deform_conv', name) for name in ('plain', 'stride2', 'dilated_groups', 'one_by_one')),
    *(('modulated_deform_conv', name) for name in ('plain', 'stride2', 'dilated_groups')),
  ],
)
def test_values_and_gradients_are_mmcvs(operator, name):
  case = op_case(operator, name)
  x, weight, *others = case.inputs.values()
  bias = others.pop(0)[:, None, None] if operator == 'modulated_deform_conv' else 0.0
  offset, mask = others if len(others) == 2 else (others[0], None)
  arguments = [jnp.asarray(a) for a in (x, weight, offset) + (() if mask is None else (mask,))]

  def run(x, weight, offset, mask=None):
    return upstream(x, weight, offset, mask, **case.args) + bias

  out = run(*arguments)
  np.testing.assert_allclose(out, case.outputs['out'], **TOLERANCE)
  cotangent = jnp.asarray(case.cotangent(out.shape))
  gradients = jax.grad(lambda *a: (run(*a) * cotangent).sum(), range(len(arguments)))(*arguments)
  for key, gradient in zip(('x', 'weight', 'offset', 'mask'), gradients, strict=False):
    recorded = case.outputs[f'grad/{key}']
    if recorded.shape != gradient.shape:  # samples of it
      gradient = np.asarray(gradient).reshape(-1)[parity_kit.recipe().sample_indices(gradient.size)]
    np.testing.assert_allclose(gradient, recorded, rtol=1e-4, atol=1e-4, err_msg=key)


@pytest.mark.parametrize('modulated', [False, True])
def test_values_are_those_of_detectron2s_kernels(modulated):
  recipe, (arrays, _) = parity_kit.recipe(), parity_kit.case('ops/d2_deform_conv')
  x, weight = recipe.normal('ops|dconv|x', (2, 8, 12, 16)), 0.2 * recipe.normal('ops|dconv|w', (6, 8, 3, 3))
  offset, mask = recipe.normal('ops|dconv|off', (2, 18, 12, 16)), recipe.uniform('ops|dconv|mask', (2, 9, 12, 16))
  x, weight, offset, mask = (a.astype(np.float32) for a in (x, weight, offset, mask))
  out = upstream(x, weight, offset, mask if modulated else None, 1, 2, 2, 1, 1)
  np.testing.assert_allclose(out, arrays[f'out/{modulated}'], **TOLERANCE)


@pytest.mark.parametrize('stride, dilation, groups', [(1, 1, 1), (2, 1, 2), (1, 2, 1)])
def test_without_offsets_it_is_the_plain_convolution(stride, dilation, groups):
  x = jax.random.normal(jax.random.key(0), (2, 9, 12, 4))
  kernel = jax.random.normal(jax.random.key(1), (3, 3, 4 // groups, 6))
  plain = lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    [(dilation, dilation)] * 2,
    rhs_dilation=(dilation, dilation),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
    precision='highest',
  )
  offsets = jnp.zeros((*plain.shape[:3], 2, 9, 2))
  with jax.default_matmul_precision('highest'):
    made = deformable_conv(x, kernel, offsets, None, stride, dilation, groups)
  np.testing.assert_allclose(made, plain, rtol=1e-5, atol=1e-5)


def test_channels_of_a_group_go_with_its_offsets():
  x = jnp.arange(12.0).reshape(1, 1, 3, 4)
  offsets = jnp.zeros((1, 1, 3, 2, 1, 2)).at[0, 0, 0, 1, 0, 1].set(2.0)  # of the first place, the second group's
  made = deformable_conv(x, jnp.eye(4)[None, None], offsets, None)
  np.testing.assert_array_equal(made[0, 0], [[0, 1, 10, 11], [4, 5, 6, 7], [8, 9, 10, 11]])
