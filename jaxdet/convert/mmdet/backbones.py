"""Names of mmdetection's backbones."""

from ml_collections import ConfigDict

from jaxdet.convert import torchvision
from jaxdet.convert.layouts import Layout
from jaxdet.convert.mmdet.layers import norm_name
from jaxdet.convert.names import Named, Names
from jaxdet.models.backbones.vgg import DEPTHS as VGG_DEPTHS


def resnet(settings: ConfigDict, image: Layout) -> Names:
  """Names of a ResNet or ResNeXt: torchvision's, except for group norms ('gn')."""
  return torchvision.resnet(settings, image, norm_name(settings.norm))


def vgg(settings: ConfigDict, image: Layout) -> Names:
  """Names of a VGG by the positions of its layers: a stage is convolutions with a ReLU each, and a pooling."""
  depths = VGG_DEPTHS[settings.depth]

  def first(stage: int) -> int:
    return sum(2 * depth + 1 for depth in depths[: stage - 1])

  return {
    'stage1/conv0': Named('features.0', image),
    'stage#/conv#': lambda stage, i: f'features.{first(stage) + 2 * i}',
    'fc6': f'features.{first(6)}',
    'fc7': f'features.{first(6) + 2}',
  }


# From `config.model.backbone` and the layout of the convolution on the image.
BACKBONES = {'resnet': resnet, 'vgg': vgg}
