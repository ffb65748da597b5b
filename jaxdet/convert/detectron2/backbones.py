"""Names of Detectron2's backbones."""

from ml_collections import ConfigDict

from jaxdet.convert.layouts import Layout
from jaxdet.convert.names import Named, Names


def resnet(settings: ConfigDict, image: Layout) -> Names:
  """Names of a ResNet or ResNeXt without classifier."""
  return {
    'stem/conv': Named('stem.conv1', image),
    'stem/norm': 'stem.conv1.norm',
    'stage#/block#/conv#': lambda s, b, i: f'res{s}.{b}.conv{i}',
    'stage#/block#/norm#': lambda s, b, i: f'res{s}.{b}.conv{i}.norm',
    'stage#/block#/conv2/offset': lambda s, b: f'res{s}.{b}.conv2_offset',
    'stage#/block#/shortcut_conv': lambda s, b: f'res{s}.{b}.shortcut',
    'stage#/block#/shortcut_norm': lambda s, b: f'res{s}.{b}.shortcut.norm',
  }


# From `config.model.backbone` and the layout of the convolution on the image.
BACKBONES = {'resnet': resnet}
