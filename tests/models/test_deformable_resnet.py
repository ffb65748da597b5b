"""A ResNet with deformable convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import FrozenDict
from flax.traverse_util import flatten_dict

from jaxdet.models.backbones.resnet import ResNet
from jaxdet.models.layers.conv import Conv
from jaxdet.models.layers.deformable_conv import DeformableConv

X = jax.random.normal(jax.random.key(0), (1, 8, 10, 4))


def conv3x3(version, levels=(3, 4, 5), offset_groups=1):
  """The setting of a ResNet."""
  return FrozenDict(name='deformable', levels=levels, version=version, offset_groups=offset_groups)


def shapes_of(net):
  return jax.eval_shape(lambda key: net.init(key, jnp.zeros((1, 64, 64, 3)), train=False), jax.random.key(0))


def test_at_first_its_samples_are_those_of_the_plain_convolution():
  layer = DeformableConv('v1', 2, 6, stride=2)
  variables = layer.init(jax.random.key(1), X)
  plain = Conv(6, stride=2, use_bias=False).apply({'params': {'kernel': variables['params']['kernel']}}, X)
  np.testing.assert_allclose(layer.apply(variables, X), plain, rtol=1e-4, atol=1e-5)


def test_the_second_version_begins_with_half_of_each_sample():
  layer = DeformableConv('v2', 1, 6)
  variables = layer.init(jax.random.key(1), X)
  assert variables['params']['offset']['kernel'].shape == (3, 3, 4, 27)
  plain = Conv(6, use_bias=False).apply({'params': {'kernel': variables['params']['kernel']}}, X)
  np.testing.assert_allclose(layer.apply(variables, X), plain / 2, rtol=1e-4, atol=1e-5)


def test_offsets_are_learned():
  layer = DeformableConv('v1', 1, 6)
  variables = layer.init(jax.random.key(1), X)
  gradient = jax.grad(lambda v: (layer.apply(v, X) ** 2).sum())(variables)['params']['offset']
  assert all(jnp.abs(g).max() > 0 for g in gradient.values())


def test_the_last_three_stages_have_them():
  net = ResNet(50, stem_width=8, conv3x3=conv3x3('v2', offset_groups=4))
  shapes = shapes_of(net)
  offsets = {path: x.shape for path, x in flatten_dict(shapes['params'], sep='/').items() if 'offset/kernel' in path}
  assert len(offsets) == 4 + 6 + 3 and not any(path.startswith('stage2') for path in offsets)
  assert offsets['stage3/block0/conv2/offset/kernel'] == (3, 3, 16, 108)


def test_other_stages_may_have_them():
  shapes = flatten_dict(shapes_of(ResNet(50, stem_width=8, conv3x3=conv3x3('v1', levels=(4, 5))))['params'], sep='/')
  stages = {path.split('/')[0] for path in shapes if 'offset' in path}
  assert stages == {'stage4', 'stage5'}


def test_a_bias_is_added_to_what_is_sampled():
  layer = DeformableConv('v2', 1, 6, use_bias=True)
  variables = layer.init(jax.random.key(1), X)
  moved = jax.tree.map(lambda x: x, variables)
  moved['params']['bias'] = jnp.arange(6.0)
  np.testing.assert_allclose(layer.apply(moved, X), layer.apply(variables, X) + jnp.arange(6.0), atol=1e-6)


def test_basic_blocks_have_no_such_form():
  with pytest.raises(ValueError, match='ResNet-18 has basic blocks'):
    shapes_of(ResNet(18, conv3x3=conv3x3('v1')))
