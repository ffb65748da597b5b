"""Names of mmdetection's backbones."""

from ml_collections import ConfigDict

from jaxdet.convert import torchvision
from jaxdet.convert.layouts import Layout
from jaxdet.convert.mmdet.layers import norm_name
from jaxdet.convert.names import Names


def resnet(settings: ConfigDict, image: Layout) -> Names:
  """Names of a ResNet or ResNeXt: torchvision's, but that a group norm is called so."""
  return torchvision.resnet(settings, image, norm_name(settings.norm))


# From `config.model.backbone` and the layout of the convolution on the image.
BACKBONES = {'resnet': resnet}
