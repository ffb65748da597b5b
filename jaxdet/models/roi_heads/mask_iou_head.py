"""Mask IoU head: the IoU of a predicted mask with its object's (Mask Scoring R-CNN, Huang et al., 2019)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdet.models.layers.conv import at_least_float32, caffe2_xavier
from jaxdet.models.layers.conv_norm import conv_norm


class MaskIoUHead(nn.Module):
  """3 x 3 convolutions `conv0`, ..., hidden layers `fc0`, ..., and `ious`, one per class.

  The input is the mask head's and the predicted mask, pooled to its size. The last convolution has stride 2. The
  network is a regression: its results are not confined to [0, 1].
  """

  num_classes: int
  num_convs: int
  conv_channels: int
  num_fcs: int
  channels: int  # of the hidden layers
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self,
    roi_features: Float[Array, 'B R S S C'],
    mask_logits: Float[Array, 'B R 2*S 2*S'],
    labels: Int[Array, 'B R'] | None,
    *,
    train: bool = False,
  ) -> Float[Array, 'B R'] | Float[Array, 'B R K']:
    """IoUs in float32, of the given classes or, without labels, of all."""
    rois = roi_features.shape[:2]
    masks = nn.sigmoid(mask_logits).reshape(-1, *mask_logits.shape[2:], 1)
    pooled = nn.max_pool(masks, (2, 2), (2, 2)).astype(self.dtype)
    x = jnp.concatenate([roi_features.reshape(-1, *roi_features.shape[2:]).astype(self.dtype), pooled], -1)
    for i in range(self.num_convs):
      stride = 2 if i == self.num_convs - 1 else 1
      x = conv_norm(x, self.conv_channels, stride=stride, norm='', train=train, dtype=self.dtype, name=f'conv{i}')
      x = nn.relu(x)
    x = x.reshape(*rois, -1)
    for i in range(self.num_fcs):
      x = nn.relu(nn.Dense(self.channels, kernel_init=caffe2_xavier, dtype=self.dtype, name=f'fc{i}')(x))
    ious = nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.01), name='ious')(at_least_float32(x))
    return ious if labels is None else jnp.take_along_axis(ious, labels[..., None], axis=-1)[..., 0]
