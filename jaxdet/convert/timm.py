"""Names of timm's ResNets and ResNeXts, which are those of torchvision's: backbones with ImageNet weights."""

from ml_collections import ConfigDict

from jaxdet.convert import torchvision
from jaxdet.convert.rules import Rule


def table(model: ConfigDict) -> list[Rule]:
  """The rules of the backbone of `config.model`, without its classifier.

  Raises:
    ValueError: where the backbone is no ResNet.
  """
  if model.backbone.name != 'resnet':
    raise ValueError(
      f"config.model.backbone is '{model.backbone.name}': of timm and torchvision only ResNets are known"
    )
  return torchvision.resnet(model.backbone, channel_order=model.channel_order)
