"""The pyramid's arithmetic on maps of a single channel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models.layers.upsample import upsample_bilinear, upsample_nearest
from jaxdet.models.necks.fpn import FPN


def passing_pyramid(levels, features):
  """The pyramid whose convolutions pass on what they get."""
  net = FPN(levels, 1)
  params = net.init(jax.random.key(0), features)['params']
  for name, layer in params.items():
    kernel = np.zeros(layer['kernel'].shape, np.float32)
    kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] = 1
    params[name]['kernel'] = kernel
  return net.apply({'params': params}, features)


def test_levels_add_up_from_the_top():
  features = {
    2: jnp.full((1, 4, 4, 1), 1.0),
    3: jnp.arange(4.0).reshape(1, 2, 2, 1),
    4: jnp.full((1, 1, 1, 1), 10.0),
  }
  pyramid = passing_pyramid((2, 3, 4), features)
  assert list(pyramid) == [2, 3, 4]
  np.testing.assert_allclose(pyramid[3][0, ..., 0], [[10, 11], [12, 13]])
  np.testing.assert_allclose(
    pyramid[2][0, ..., 0], [[11, 11, 12, 12], [11, 11, 12, 12], [13, 13, 14, 14], [13, 13, 14, 14]]
  )


def test_levels_above_the_backbone_take_every_other_pixel():
  features = {5: jnp.arange(15.0).reshape(1, 3, 5, 1)}
  pyramid = passing_pyramid((5, 6, 7), features)
  np.testing.assert_allclose(pyramid[6][0, ..., 0], [[0, 2, 4], [10, 12, 14]])
  np.testing.assert_allclose(pyramid[7][0, ..., 0], [[0, 4]])


def test_backbone_levels_that_are_not_asked_for_are_left_out():
  features = {level: jnp.ones((1, 2 ** (5 - level), 2 ** (5 - level), 1)) for level in (2, 3, 4, 5)}
  assert list(passing_pyramid((3, 4, 5), features)) == [3, 4, 5]


@pytest.mark.parametrize('small, large', [(13, 25), (21, 42), (1, 1), (7, 13)])
def test_upsampling_is_nearest_interpolation_to_the_exact_size(small, large):
  x = jnp.arange(float(small)).reshape(1, small, 1, 1)
  y = upsample_nearest(x, (large, 1))[0, :, 0, 0]
  np.testing.assert_array_equal(y, np.arange(large) * small // large)


def test_odd_sizes_pass():
  features = {level: jnp.ones((1, *size, 8)) for level, size in ((4, (50, 84)), (5, (25, 42)))}
  pyramid = jax.eval_shape(lambda f: FPN((4, 5, 6), 4).init_with_output(jax.random.key(0), f)[0], features)
  assert [x.shape for x in pyramid.values()] == [(1, 50, 84, 4), (1, 25, 42, 4), (1, 13, 21, 4)]


def test_a_norm_takes_the_place_of_the_biases():
  features = {5: jnp.ones((1, 2, 2, 8))}
  params = FPN((5,), 8, norm='gn').init(jax.random.key(0), features)['params']
  assert {name: set(layer) for name, layer in params.items()} == {
    'lateral5': {'kernel'},
    'lateral5_norm': {'scale', 'bias'},
    'output5': {'kernel'},
    'output5_norm': {'scale', 'bias'},
  }


def test_batch_norms_take_statistics_in_training():
  features = {5: jax.random.normal(jax.random.key(0), (2, 4, 4, 8))}
  fpn = FPN((5,), 8, norm='sync_bn')
  variables = fpn.init(jax.random.key(0), features)
  pyramid, moved = fpn.apply(variables, features, train=True, mutable=['batch_stats'])
  np.testing.assert_allclose(pyramid[5].mean((0, 1, 2)), 0.0, atol=1e-5)
  assert set(moved['batch_stats']) == {'lateral5_norm', 'output5_norm'}


@pytest.mark.parametrize('extra, seen', [('input', [2.0, 3.0]), ('output', [12.0, 13.0])])
def test_levels_above_the_backbone_are_made_by_convolutions_one_after_the_other(extra, seen):
  features = {4: jnp.full((1, 4, 4, 1), 5.0), 5: jnp.full((1, 2, 2, 1), 1.0)}
  net = FPN((4, 5, 6, 7), 1, extra=extra)
  params = jax.tree.map(jnp.zeros_like, net.init(jax.random.key(0), features)['params'])
  for name, layer in params.items():
    middle = layer['kernel'].shape[0] // 2
    layer['kernel'] = layer['kernel'].at[middle, middle].set(1.0)
    layer['bias'] = {'output5': layer['bias'] + 10.0, 'output6': layer['bias'] + 1.0}.get(name, layer['bias'] * 0)
  params['output7']['bias'] += 1.0
  pyramid = net.apply({'params': params}, features)
  assert [pyramid[level].item() for level in (6, 7)] == seen
  assert pyramid[5].tolist() == [[[[11.0], [11.0]], [[11.0], [11.0]]]]


def test_an_activation_before_every_extra_convolution_but_the_first():
  features = {5: jnp.full((1, 2, 2, 1), -3.0)}
  for extra_relu, last in ((False, -3.0), (True, 0.0)):
    net = FPN((5, 6, 7), 1, extra='input', extra_relu=extra_relu)
    params = jax.tree.map(jnp.zeros_like, net.init(jax.random.key(0), features)['params'])
    for layer in params.values():
      middle = layer['kernel'].shape[0] // 2
      layer['kernel'] = layer['kernel'].at[middle, middle].set(1.0)
    pyramid = net.apply({'params': params}, features)
    assert (pyramid[6].item(), pyramid[7].item()) == (-3.0, last)


def test_an_unknown_way_to_extra_levels_is_an_error():
  with pytest.raises(ValueError, match="'laterals'"):
    FPN((5, 6), 1, extra='laterals').init(jax.random.key(0), {5: jnp.ones((1, 2, 2, 1))})


@pytest.mark.parametrize('small, large', [((5, 9), (9, 18)), ((35, 18), (69, 35))])
def test_upsampling_may_be_bilinear_as_in_torch(small, large):
  torch = pytest.importorskip('torch')
  x = np.random.default_rng(0).random((2, *small, 3), np.float32)
  expected = torch.nn.functional.interpolate(torch.from_numpy(x).permute(0, 3, 1, 2), large, mode='bilinear')
  np.testing.assert_allclose(upsample_bilinear(x, large), expected.permute(0, 2, 3, 1), atol=1e-5)
  features = {level: jnp.ones((1, *size, 8)) for level, size in ((4, large), (5, small))}
  pyramid = jax.eval_shape(
    lambda f: FPN((4, 5), 4, upsample='bilinear').init_with_output(jax.random.key(0), f)[0], features
  )
  assert pyramid[4].shape == (1, *large, 4)


def test_another_upsampling_is_refused():
  with pytest.raises(ValueError, match='neck.upsample'):
    FPN((4,), 4, upsample='cubic').init(jax.random.key(0), {4: jnp.ones((1, 2, 2, 1))})
