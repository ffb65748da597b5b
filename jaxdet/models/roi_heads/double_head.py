"""Double head (Wu et al., 2020): classes from fully connected layers, boxes from convolutions."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.backbones.resnet import Bottleneck
from jaxdet.models.layers.conv import Conv, at_least_float32
from jaxdet.models.layers.conv_norm import conv_norm
from jaxdet.models.layers.norm import norm
from jaxdet.models.roi_heads.classifiers import LinearClassifier


class DoubleHead(nn.Module):
  """Logits from hidden layers `fc0`, ..; deltas from `widening` and bottlenecks `block0`, .., in float32."""

  num_classes: int
  num_logits: int
  num_convs: int  # bottlenecks
  conv_channels: int  # of their results; inside they have a quarter
  norm: str  # of the convolutions, a kind of layers/norm.py
  num_fcs: int
  channels: int  # of the hidden layers
  class_agnostic: bool  # one box per RoI, not per class
  class_bias: float = 0.0  # initial bias of the classes' logits
  dtype: jnp.dtype = jnp.float32  # of the convolutions and the hidden layers

  @nn.compact
  def __call__(
    self, features: tuple[Float[Array, 'B R S S C'], Float[Array, 'B R S S C']], *, train: bool = False
  ) -> tuple[Float[Array, 'B R L'], Float[Array, 'B R K|1 4']]:
    """Logits and deltas.

    Args:
      features: of the RoIs, for classes and for boxes.
      train: batch norms use the statistics of the RoIs of the batch.
    """
    for_classes, for_boxes = features
    regions = for_classes.shape[:2]
    x = for_classes.reshape(*regions, -1)
    for i in range(self.num_fcs):
      init = nn.initializers.xavier_uniform()
      x = nn.relu(nn.Dense(self.channels, kernel_init=init, dtype=self.dtype, name=f'fc{i}')(x))
    classifier = LinearClassifier(self.num_classes, self.num_logits, self.class_bias, name='logits')

    y = for_boxes.reshape(-1, *for_boxes.shape[2:])
    y = WideningBlock(self.conv_channels, self.norm, self.dtype, name='widening')(y, train=train)
    conv = partial(Conv, use_bias=False, dtype=self.dtype)
    block = partial(
      Bottleneck,
      self.conv_channels,
      self.conv_channels // 4,
      stride=1,
      caffe=False,
      groups=1,
      dilation=1,
      conv=conv,
      conv3x3=conv,
      norm=partial(norm, self.norm, train=train, dtype=self.dtype),
    )
    for i in range(self.num_convs):
      y = block(name=f'block{i}')(y)
    pooled = at_least_float32(y).mean((1, 2)).reshape(*regions, -1)
    boxes = 1 if self.class_agnostic else self.num_classes
    deltas = nn.Dense(4 * boxes, kernel_init=nn.initializers.normal(0.001), name='deltas')(pooled)
    return classifier(at_least_float32(x)), deltas.reshape(*regions, boxes, 4)


class WideningBlock(nn.Module):
  """Residual block to more channels: a 3 x 3 and a 1 x 1 convolution, plus a 1 x 1 shortcut."""

  features: int
  norm: str
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Float[Array, 'N S S C'], *, train: bool) -> Float[Array, 'N S S F']:
    layer = partial(conv_norm, norm=self.norm, train=train, dtype=self.dtype)
    y = nn.relu(layer(x, x.shape[-1], name='conv1'))
    return nn.relu(layer(y, self.features, 1, name='conv2') + layer(x, self.features, 1, name='shortcut'))
