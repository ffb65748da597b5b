"""The backbone's last stage, applied to each RoI (Faster R-CNN's C4; He et al., 2016)."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdet.models.backbones.resnet import ResNet, residual_stage


class Res5Head(nn.Module):
  """Maps RoI features of stride 16 to stride 32, for the box head and the mask head."""

  resnet: ResNet  # the backbone, whose stage 5 is a submodule here

  @nn.compact
  def __call__(self, roi_features: Float[Array, 'B R S S C'], *, train: bool = False) -> Float[Array, 'B R S/2 S/2 F']:
    x = roi_features.reshape(-1, *roi_features.shape[2:])
    x = residual_stage(self.resnet, 5, train)(x)
    return x.reshape(*roi_features.shape[:2], *x.shape[1:])
