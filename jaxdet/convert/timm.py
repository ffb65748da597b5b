"""Names of timm's ResNets and ResNeXts, and of torchvision's: backbones with ImageNet weights."""

from ml_collections import ConfigDict

from jaxdet.convert import mmdet
from jaxdet.convert.backbone import bare_rules
from jaxdet.convert.rules import Rule


def table(model: ConfigDict) -> list[Rule]:
  """The rules of the backbone of `config.model`, without its classifier.

  The names are those that mmdetection gives its ResNets. The weights are for RGB images, whatever
  `channel_order` says of the detector's own.
  """
  rgb = ConfigDict(model.to_dict())
  rgb.channel_order = 'RGB'
  return bare_rules(mmdet.table(rgb))
