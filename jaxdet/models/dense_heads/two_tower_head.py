"""Head of most dense detectors (RetinaNet, Lin et al., 2017): a tower for classes and one for boxes."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv, torch_uniform
from jaxdet.models.layers.deformable_conv import DeformableConv
from jaxdet.models.layers.norm import norm

PRIOR = 0.01  # the probability of every class that training begins with

Outputs = dict[str, dict[int, Float[Array, 'B _ _ ...']]]


class TwoTowerHead(nn.Module):
  """Class logits [B, H, W, A, K], box regression [B, H, W, A, C] and optionally centerness [B, H, W, A].

  They are returned by name, 'logits', 'box_regression' and 'centerness', each as {level: map}. Submodules are
  `class_conv<i>` and `box_conv<i>` with norms `class_conv<i>_norm`, then `logits`, `boxes` and `centerness`; with
  `scales` a level's box regression is multiplied by the parameter `scale<level>`.
  """

  num_classes: int
  num_anchors: int  # per cell
  box_channels: int  # box regression channels per anchor
  num_convs: int = 4
  channels: int = 256
  norm: str = ''  # '': none; else a kind of layers/norm.py without batch statistics, shared by all levels
  conv_bias: bool = True  # of the convolutions in the towers
  deformable_last: bool = False  # last convolution of each tower is deformable, see layers/deformable_conv.py
  centerness: str = ''  # tower that predicts it, 'class' or 'box'; '': no centerness
  scales: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: dict[int, Float[Array, 'B _ _ C']], *, train: bool = False) -> Outputs:
    # float32, so that rounding makes no ties in top-k.
    wide = jnp.promote_types(self.dtype, jnp.float32)
    init = nn.initializers.normal(0.01)
    towers = {name: self._tower(f'{name}_conv', train, init) for name in ('class', 'box')}
    last = {'kernel_init': init, 'dtype': self.dtype, 'output_dtype': wide}
    prior = nn.initializers.constant(-np.log((1 - PRIOR) / PRIOR))
    readers = {
      'logits': ('class', Conv(self.num_anchors * self.num_classes, bias_init=prior, **last, name='logits')),
      'box_regression': ('box', Conv(self.num_anchors * self.box_channels, **last, name='boxes')),
    }
    if self.centerness:
      readers['centerness'] = (self.centerness, Conv(self.num_anchors, **last, name='centerness'))
    outputs = {name: {} for name in readers}
    for level, x in features.items():
      seen = {name: tower(x) for name, tower in towers.items()}
      for name, (tower, conv) in readers.items():
        outputs[name][level] = conv(seen[tower])
      if self.scales:
        outputs['box_regression'][level] *= self.param(f'scale{level}', nn.initializers.ones, (), jnp.float32)
      for name in ('logits', 'box_regression'):
        y = outputs[name][level]
        outputs[name][level] = y.reshape(*y.shape[:3], self.num_anchors, -1)
    return outputs

  def _tower(self, name: str, train: bool, init) -> nn.Module:
    layers = []
    settings = {'use_bias': self.conv_bias, 'dtype': self.dtype}
    for i in range(self.num_convs):
      if self.deformable_last and i == self.num_convs - 1:
        settings |= {'kernel_init': torch_uniform, 'offset_init': init}  # mmcv's
        layers.append(DeformableConv('v2', 1, self.channels, **settings, name=f'{name}{i}'))
      else:
        layers.append(Conv(self.channels, kernel_init=init, **settings, name=f'{name}{i}'))
      if self.norm:
        layers.append(norm(self.norm, train=train, dtype=self.dtype, name=f'{name}{i}_norm'))
      layers.append(nn.relu)

    def apply(x: Float[Array, 'B H W C']) -> Float[Array, 'B H W C']:
      for layer in layers:
        x = layer(x)
      return x

    return apply
