"""Mask head: instance masks from pooled RoI features, by a small fully convolutional network (He et al., 2017)."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdet.models.layers.conv import he_normal
from jaxdet.models.layers.conv_norm import conv_norm
from jaxdet.models.layers.normed import normed
from jaxdet.ops.conv import pointwise


class ConvMaskHead(nn.Module):
  """3 x 3 convolutions `conv0`, ..., a transposed convolution `deconv` that doubles the side, and `logits`.

  With labels only the mask of each RoI's class is computed: the last layer's weights are gathered by label, so that
  the cost does not depend on the number of classes.
  """

  num_classes: int
  num_convs: int
  channels: int
  norm: str  # of the 3 x 3 convolutions; '': none, and biases; else a kind of layers/norm.py
  class_agnostic: bool  # one mask per RoI for all classes
  dtype: jnp.dtype = jnp.float32
  predictor: str = 'conv'  # the last layer; 'normed': cosines, see layers/normed.py

  @nn.compact
  def __call__(
    self, roi_features: Float[Array, 'B R S S C'], labels: Int[Array, 'B R'] | None, *, train: bool = False
  ) -> Float[Array, 'B R 2*S 2*S'] | Float[Array, 'B R 2*S 2*S K']:
    """Mask logits in float32, of the given classes or, without labels, of all (one if class-agnostic)."""
    batch, rois, size = roi_features.shape[:3]
    x = roi_features.reshape(-1, *roi_features.shape[2:])
    for i in range(self.num_convs):
      x = nn.relu(conv_norm(x, self.channels, norm=self.norm, train=train, dtype=self.dtype, name=f'conv{i}'))
    x = nn.relu(Deconv(self.channels, dtype=self.dtype, name='deconv')(x))
    x = x.reshape(batch, rois, -1, self.channels)
    masks = 1 if self.class_agnostic else self.num_classes
    y = self._predictor()(masks, self.dtype, name='logits')(x, None if self.class_agnostic else labels)
    # The last layer treats pixels independently: they are reordered after it, when the array is smallest.
    y = y.reshape(batch, rois, size, size, 2, 2, -1).transpose(0, 1, 2, 4, 3, 5, 6)
    y = y.reshape(batch, rois, 2 * size, 2 * size, -1)
    return y if labels is None else y[..., 0]

  def _predictor(self) -> Callable[..., nn.Module]:
    if self.predictor not in PREDICTORS:
      raise ValueError(f"unknown predictor '{self.predictor}' of a mask head: choose {', '.join(PREDICTORS)}")
    return PREDICTORS[self.predictor]


class Deconv(nn.Module):
  """Transposed 2 x 2 convolution of stride 2: pixel (2 y + a, 2 x + b) is at [y, x], in part 2 a + b of 4 F channels.

  The four pixels share the channel axis, since a TPU would pad axes of two to eight.
  """

  features: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Float[Array, 'N H W C']) -> Float[Array, 'N H W 4*F']:
    kernel = self.param('kernel', he_normal, (2, 2, x.shape[-1], self.features), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32)
    flat = kernel.astype(self.dtype).transpose(2, 0, 1, 3).reshape(x.shape[-1], -1)
    return pointwise(x.astype(self.dtype), flat, self.dtype) + jnp.tile(bias.astype(self.dtype), 4)


class ClassLogits(nn.Module):
  """1 x 1 convolution with one output per class, or only the outputs of `labels`."""

  num_classes: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(
    self, x: Float[Array, 'B R P C'], labels: Int[Array, 'B R'] | None
  ) -> Float[Array, 'B R P K'] | Float[Array, 'B R P 1']:
    shape = (1, 1, x.shape[-1], self.num_classes)
    kernel = self.param('kernel', nn.initializers.normal(0.001), shape, jnp.float32)[0, 0]
    bias = self.param('bias', nn.initializers.zeros, (self.num_classes,), jnp.float32)
    x, kernel = self.prepare(x, kernel.astype(self.dtype))
    wide = jnp.promote_types(self.dtype, jnp.float32)
    if labels is None:
      return jnp.matmul(x, kernel, preferred_element_type=wide) + bias
    weights = kernel.T[labels][..., None]
    return jnp.matmul(x, weights, preferred_element_type=wide) + bias[labels][..., None, None]

  def prepare(
    self, x: Float[Array, 'B R P C'], kernel: Float[Array, 'C K']
  ) -> tuple[Float[Array, 'B R P C'], Float[Array, 'C K']]:
    """Transforms features and kernel before their product; here unchanged."""
    return x, kernel


class NormedClassLogits(ClassLogits):
  """mmdetection's mask predictor for the seesaw loss: 20 times the cosine of features and kernel, plus a bias."""

  def prepare(self, x, kernel):
    return 20.0 * normed(x, -1), normed(kernel, 0)


PREDICTORS = {'conv': ClassLogits, 'normed': NormedClassLogits}
