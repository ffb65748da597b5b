"""Backbones, their initial weights, and the image normalisation of those weights."""

from typing import NamedTuple

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB
IMAGENET_STD = (58.395, 57.12, 57.375)
DETECTRON1_MEAN = (122.7717, 115.9465, 102.9801)
UNIT_STD = (1.0, 1.0, 1.0)


class Weights(NamedTuple):
  """Network variant and image normalisation of a file of weights."""

  style: str  # 'pytorch': stride in the 3 x 3; 'caffe': in the first 1 x 1
  norm: str
  channel_order: str = 'RGB'  # of images
  pixel_std: tuple[float, float, float] = IMAGENET_STD  # RGB
  pixel_mean: tuple[float, float, float] = IMAGENET_MEAN
  frozen_stages: int = 1  # 1: stem and first stage; 0: stem; -1: nothing

  @property
  def head_norm(self) -> str:
    """Norm of pyramid and heads: the backbone's if that is trained, else none (Wu & He, 2018)."""
    return self.norm if self.norm in ('gn', 'gn_ws', 'sync_bn') else ''


# Torchvision's; mmdetection trains the affine part of their norms, Detectron2 and query detectors do not.
TORCHVISION = Weights('pytorch', 'bn_eval')
FIXED_TORCHVISION = Weights('pytorch', 'frozen_bn')
# MSRA's networks in Caffe's form, with fixed norms and unscaled colours.
MSRA = Weights('caffe', 'frozen_bn', 'BGR', UNIT_STD)
# Facebook's ResNeXt 32x8d.
FAIR = Weights('pytorch', 'frozen_bn', 'BGR')
GN = Weights('pytorch', 'gn', 'BGR', UNIT_STD)
# None: trained from its beginnings, with torchvision's colours.
SCRATCH = Weights('pytorch', 'sync_bn', frozen_stages=-1)
# Caffe's VGG, as mmdetection has it for images in RGB; all of it is trained.
VGG = Weights('caffe', '', pixel_std=UNIT_STD, frozen_stages=-1)

DETECTRON2 = {  # by the name of the argument `weights`
  'msra': MSRA,
  'fair': FAIR,
  'torchvision': FIXED_TORCHVISION,
  'gn': GN,
  'syncbn': Weights('caffe', 'sync_bn', 'BGR', UNIT_STD),
  'scratch_gn': GN._replace(frozen_stages=-1),  # config of 3x
  'scratch_gn_std': GN._replace(pixel_std=IMAGENET_STD, frozen_stages=-1),  # config of 9x
  'scratch_syncbn': Weights('pytorch', 'sync_bn', 'BGR', frozen_stages=-1),
}

MMDET = {
  'torchvision': TORCHVISION,
  'msra': MSRA,
  'detectron1': MSRA._replace(pixel_mean=DETECTRON1_MEAN),
  'fair': FAIR,
  'gn': GN,
  'gn_contrib': Weights('pytorch', 'gn'),
  'gn_ws': Weights('pytorch', 'gn_ws'),
  'scratch_gn': Weights('pytorch', 'gn', frozen_stages=-1),
}

NETWORKS = {  # depth, groups, channels of a group
  'r50': (50, 1, 64),
  'r18': (18, 1, 64),
  'r34': (34, 1, 64),
  'r101': (101, 1, 64),
  'r152': (152, 1, 64),
  'x50_32x4d': (50, 32, 4),
  'x101_32x4d': (101, 32, 4),
  'x101_64x4d': (101, 64, 4),
  'x101_32x8d': (101, 32, 8),
}


def deformable_conv(version: str, levels: tuple[int, ...] = (3, 4, 5), groups: int = 1) -> dict:
  """A deformable 3 x 3 convolution.

  Args:
    version: 'v1' or 'v2'.
    levels: stages that have it, by the level of their result.
    groups: of input channels, each with offsets of its own.
  """
  return {'name': 'deformable', 'levels': levels, 'version': version, 'offset_groups': groups}


DEFORMABLE = {  # the 3 x 3 convolution of a ResNet's blocks, by the argument `deformable`
  '': {'name': 'plain'},
  'v1': deformable_conv('v1'),
  'v1_c4_c5': deformable_conv('v1', levels=(4, 5)),
  'v2': deformable_conv('v2'),
  'v2_group4': deformable_conv('v2', groups=4),
}


def detectron2(network: str, weights: str = '') -> Weights:
  """Initial weights of a network in Detectron2; '': Facebook's for x101_32x8d, MSRA's for all others."""
  return DETECTRON2[weights or ('fair' if network == 'x101_32x8d' else 'msra')]


def mmdet(network: str, weights: str = '') -> Weights:
  """Initial weights of a network in mmdetection; '': Facebook's for x101_32x8d, torchvision's for all others."""
  return MMDET[weights or ('fair' if network == 'x101_32x8d' else 'torchvision')]


def resnet(
  network: str, weights: Weights, deformable: str = '', *, num_stages: int = 4, dilate_last: bool = False
) -> dict:
  """A ResNet or ResNeXt.

  Args:
    network: its name in NETWORKS.
    weights: initial weights, which determine style and norm.
    deformable: a name in DEFORMABLE.
    num_stages: 3: the last stage is the RoIs' shared head (C4).
    dilate_last: the last stage at stride 16 (DC5).
  """
  depth, groups, group_width = NETWORKS[network]
  return {
    'name': 'resnet',
    'depth': depth,
    'style': weights.style,
    'norm': weights.norm,  # 'frozen_bn', 'bn_eval' (affine trained), 'sync_bn', 'gn', 'gn_ws'
    'groups': groups,  # ResNeXt 32x4d: groups 32, group_width 4
    'group_width': group_width,
    'stem_width': 64,  # channels of the stem; the stages follow
    'num_stages': num_stages,
    'dilate_last': dilate_last,
    'conv3x3': DEFORMABLE[deformable],  # see models/layers/spatial_conv.py
  }


def vgg16() -> dict:
  """VGG-16 of SSD."""
  return {'name': 'vgg', 'depth': 16, 'width': 64, 'fc_channels': 1024}


def hourglass104(norm: str) -> dict:
  """Two stacked hourglasses, as in CornerNet."""
  return {
    'name': 'hourglass',
    'stacks': 2,
    'channels': (256, 256, 384, 384, 384, 512),  # of each size, from stride 4 on
    'blocks': (2, 2, 2, 2, 2, 4),  # residual blocks of each size, of every way through it
    'features': 256,  # channels of the maps that the head sees, one of each stack
    'norm': norm,
  }


def frozen_stages(count: int) -> tuple[str, ...]:
  """Pattern that freezes a ResNet's stem (0), or its stem and `count` stages; no pattern for -1."""
  if count < 0:
    return ()
  parts = ['stem', *(f'stage{level}' for level in range(2, 2 + count))]
  return (rf'^backbone/({"|".join(parts)})/',)
