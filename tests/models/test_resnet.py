"""The backbone's shapes, widths, strides and freezing; numbers are compared in convert/test_upstream_networks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from configs.parts import backbones
from jaxdet.models.backbones.resnet import Bottleneck, ResNet, residual_blocks
from jaxdet.models.layers.conv import Conv
from jaxdet.models.layers.frozen import is_frozen
from jaxdet.models.layers.norm import RESIDUAL_SCALE, norm


def shapes(net: ResNet, height: int = 64, width: int = 64):
  images = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
  return jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, train=True), images)


@pytest.mark.parametrize(
  'net, channels, millions',
  [  # parameters as torchvision counts them, without the classifier
    (ResNet(18, norm='bn_eval'), (64, 128, 256, 512), 11.18),
    (ResNet(34, norm='bn_eval'), (64, 128, 256, 512), 21.28),
    (ResNet(50, norm='bn_eval'), (256, 512, 1024, 2048), 23.51),
    (ResNet(101, norm='bn_eval', style='caffe'), (256, 512, 1024, 2048), 42.50),
    (ResNet(152, norm='bn_eval'), (256, 512, 1024, 2048), 58.14),
    (ResNet(101, norm='bn_eval', groups=32, group_width=8), (256, 512, 1024, 2048), 86.74),
    (ResNet(101, norm='bn_eval', groups=64, group_width=4), (256, 512, 1024, 2048), 81.41),
    (ResNet(18, norm='gn', stem_width=32), (32, 64, 128, 256), 2.80),
  ],
)
def test_widths_and_number_of_parameters(net, channels, millions):
  features, variables = shapes(net)
  assert tuple(features[level].shape[-1] for level in (2, 3, 4, 5)) == channels
  count = sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
  assert round(count / 1e6, 2) == millions


@pytest.mark.parametrize('style', ['pytorch', 'caffe'])
def test_odd_maps_are_rounded_up(style):
  features, _ = shapes(ResNet(50, style=style), 800, 1344)
  assert [features[level].shape[1:3] for level in (2, 3, 4, 5)] == [(200, 336), (100, 168), (50, 84), (25, 42)]


@pytest.mark.parametrize('caffe', [False, True])
def test_the_style_says_which_convolution_skips_pixels(caffe):
  conv, frozen_bn = partial(Conv, use_bias=False), partial(norm, 'frozen_bn')
  block = Bottleneck(4, 1, stride=2, caffe=caffe, groups=1, dilation=1, conv=conv, conv3x3=conv, norm=frozen_bn)
  x = jnp.ones((1, 4, 4, 4))
  y, variables = block.init_with_output(jax.random.key(0), x)
  variables['params'] = jax.tree.map(jnp.ones_like, variables['params'])
  changed = block.apply(variables, x.at[0, 1, 1].add(1.0)) != block.apply(variables, x)
  assert y.shape == (1, 2, 2, 4) and changed.any() != caffe  # the pixel (1, 1) is in none of the even rows


@pytest.mark.parametrize('count', [-1, 0, 2, 4])
def test_frozen_stages_count_from_the_stem(count):
  parts = ['stem', 'stage2', 'stage3', 'stage4', 'stage5']
  patterns = backbones.frozen_stages(count)
  assert [is_frozen(f'backbone/{part}', patterns) for part in parts] == [i <= count for i in range(5)]


@pytest.mark.parametrize('patterns', [('^backbone/stem/',), ('^backbone/(stem|stage2|stage3)/',)])
def test_frozen_parts_get_no_gradient_and_move_no_statistics(patterns):
  net = ResNet(18, norm='sync_bn', stem_width=4, frozen=patterns)
  x = jax.random.normal(jax.random.key(0), (1, 64, 64, 3))
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda s: np.float32(rng.normal(s.ndim < 4, 0.1, s.shape)), shapes(net)[1])

  @jax.jit
  def gradient(variables):
    def total(params):
      features, state = net.apply({**variables, 'params': params}, x, train=True, mutable=['batch_stats'])
      return sum((f**2).sum() for f in features.values()), state

    return jax.grad(total, has_aux=True)(variables['params'])

  gradients, state = gradient(variables)
  frozen = {path: is_frozen(f'backbone/{path[0]}', patterns) for path in flatten_dict(gradients)}
  for path, value in flatten_dict(gradients).items():
    assert (np.abs(value).max() == 0) == frozen[path], path
  before = flatten_dict(variables['batch_stats'])
  for path, value in flatten_dict(state['batch_stats']).items():
    assert np.array_equal(value, before[path]) == is_frozen(f'backbone/{path[0]}', patterns), path


@pytest.mark.parametrize('scale, growth', [(RESIDUAL_SCALE, 1.0), (1.0, 1.4)])
def test_an_unloaded_block_hardly_changes_the_size_of_its_input(scale, growth):
  conv, frozen_bn = partial(Conv, use_bias=False), partial(norm, 'frozen_bn')
  block = Bottleneck(256, 64, stride=1, caffe=False, groups=1, dilation=1, conv=conv, conv3x3=conv, norm=frozen_bn)
  x = jax.nn.relu(jax.random.normal(jax.random.key(0), (1, 8, 8, 256)))
  variables = jax.jit(block.init)(jax.random.key(1), x)
  variables['constants']['norm3']['scale'] = jnp.full(256, scale)
  y = block.apply(variables, x)
  assert abs(jnp.sqrt((y**2).mean() / (x**2).mean()) - growth) < 0.15


def test_the_blocks_of_a_depth():
  assert list(residual_blocks(18))[:3] == [(2, 0, 2, False), (2, 1, 2, False), (3, 0, 2, True)]
  assert list(residual_blocks(50))[0] == (2, 0, 3, True) and len(list(residual_blocks(152))) == 50


@pytest.mark.parametrize('settings', [{'depth': 51}, {'depth': 50, 'style': 'torch'}, {'depth': 18, 'groups': 32}])
def test_impossible_settings_are_named(settings):
  with pytest.raises(ValueError, match="51|'torch'|basic blocks"):
    shapes(ResNet(**settings))
