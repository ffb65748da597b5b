"""The second path of a pyramid: its arithmetic, which levels it has, its names in mmdetection."""

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from configs.parts import necks
from jaxdet.convert.mmdet.necks import NECKS
from jaxdet.models.necks.fpn import FPN
from jaxdet.models.necks.pafpn import PAFPN
from learned_by_heart import quick_jit

FEATURES = {level: jnp.ones((1, 2 ** (7 - level), 2 ** (7 - level), 3)) for level in (2, 3, 4, 5)}


def shapes(neck, features=FEATURES):
  return jax.eval_shape(neck.init, jax.random.key(0), features)['params']


def test_each_level_gets_the_strided_one_below():
  """Convolutions that pass on every pixel, times the number in their name."""
  features = {5 - k: jnp.arange(4.0**k).reshape(1, 2**k, 2**k, 1) for k in range(3)}
  net = PAFPN((3, 4, 5, 6), 1)
  params = jax.tree.map(lambda s: np.zeros(s.shape, np.float32), shapes(net, features))
  for name, layer in params.items():
    size = layer['kernel'].shape[0]
    layer['kernel'][size // 2, size // 2] = int(name[-1]) if name[:-1] in ('down', 'path') else 1
  plain = {name: layer for name, layer in params.items() if name[:-1] not in ('down', 'path')}

  @quick_jit
  def both(params, plain):
    return FPN((3, 4, 5), 1).apply({'params': plain}, features), net.apply({'params': params}, features)

  before, after = both(params, plain)
  level4 = before[4] + 4 * before[3][:, ::2, ::2]
  level5 = before[5] + 5 * level4[:, ::2, ::2]
  np.testing.assert_allclose(after[3], before[3])
  np.testing.assert_allclose(after[4], 4 * level4)
  np.testing.assert_allclose(after[5], 5 * level5)
  np.testing.assert_allclose(after[6], 5 * level5[:, ::2, ::2])


def test_levels_have_a_norm_like_all_others():
  params = shapes(PAFPN((3, 4, 5, 6), 8, norm='gn', extra='output'))
  convolutions = {'lateral3', 'lateral4', 'lateral5', 'output3', 'output4', 'output5', 'output6'}
  convolutions |= {'down4', 'down5', 'path4', 'path5'}
  assert set(params) == convolutions | {f'{name}_norm' for name in convolutions}
  assert all('bias' not in params[name] for name in convolutions)


def test_mmdetection_counts_the_second_path_from_zero():
  names = NECKS['pafpn'](ConfigDict(necks.pafpn('sync_bn', levels=(3, 4, 5, 6))))
  assert (names['down#'](4), names['down#_norm'](5)) == ('downsample_convs.0.conv', 'downsample_convs.1.bn')
  assert (names['path#'](4), names['output#'](6)) == ('pafpn_convs.0.conv', 'fpn_convs.3.conv')
