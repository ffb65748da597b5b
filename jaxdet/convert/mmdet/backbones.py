"""Names of mmdetection's backbones."""

from collections.abc import Callable

from ml_collections import ConfigDict

from jaxdet.convert import torchvision
from jaxdet.convert.layouts import Layout
from jaxdet.convert.mmdet.layers import conv_norm, norm_name
from jaxdet.convert.names import Named, Names, within
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


def hourglass(settings: ConfigDict, image: Layout) -> Names:
  """Names of stacked hourglasses, each of which has the next smaller size inside it as `low2`."""
  bottom = len(settings.channels) - 1

  def blocks(path: str, module: Callable[..., str]) -> Names:
    return within(path, module, basic_block(norm_name(settings.norm)))

  def inside(ways: str) -> Callable[..., str]:
    return lambda stack, size, block: f'hourglass_modules.{stack}.{"low2." * size}{ways}.{block}'

  return {
    'stem': Named('stem.0.conv', image),
    'stem_norm': f'stem.0.{norm_name(settings.norm)}',
    **blocks('stem_block', lambda: 'stem.1.0'),
    **blocks('stack#/beside#/block#', inside('up1')),
    **blocks('stack#/down#/block#', inside('low1')),
    **blocks('stack#/up#/block#', inside('low3')),
    **blocks('stack#/bottom/block#', lambda stack, block: f'hourglass_modules.{stack}.{"low2." * bottom}{block}'),
    **blocks('merged#', lambda i: f'inters.{i}'),
    **conv_norm('output#', lambda i: f'out_convs.{i}', settings.norm),
    **conv_norm('passed#', lambda i: f'conv1x1s.{i}', settings.norm),
    **conv_norm('returned#', lambda i: f'remap_convs.{i}', settings.norm),
  }


def basic_block(norm: str) -> Names:
  """Names inside a residual block of two convolutions; `norm` is what its norms are called."""
  return {
    'conv#': lambda i: f'conv{i}',
    'norm#': lambda i: f'{norm}{i}',
    'shortcut_conv': 'downsample.0',
    'shortcut_norm': 'downsample.1',
  }


# From `config.model.backbone` and the layout of the convolution on the image.
BACKBONES = {'hourglass': hourglass, 'resnet': resnet, 'vgg': vgg}
