"""The backbone's last stage, applied to each region (Faster R-CNN's C4; He et al., 2016)."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdet.models.backbones.resnet import ResNet, residual_stage


class Res5Head(nn.Module):
  """Features of a region of stride 16 to features of stride 32, for the box head and the mask head alike."""

  resnet: ResNet  # the backbone, of which stage 5 is made here

  @nn.compact
  def __call__(self, roi_features: Float[Array, 'B R S S C'], *, train: bool = False) -> Float[Array, 'B R S/2 S/2 F']:
    x = roi_features.reshape(-1, *roi_features.shape[2:])
    x = residual_stage(self.resnet, 5, train)(x)
    return x.reshape(*roi_features.shape[:2], *x.shape[1:])
