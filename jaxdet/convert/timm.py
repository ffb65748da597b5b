"""Names of timm's ResNets and ResNeXts, and of torchvision's: backbones with ImageNet weights.

The names are those of mmdetection's ResNets. The weights are for RGB images, independent of
`config.model.channel_order`.
"""

from jaxdet.convert.layouts import first_conv
from jaxdet.convert.mmdet.backbones import BACKBONES
from jaxdet.convert.mmdet.roi_heads import SHARED_HEADS
from jaxdet.convert.parts import Part, part

ROLES = {
  'backbone': lambda model, _: part(BACKBONES, model.backbone, first_conv('RGB')),
  'shared_head': lambda model, _: Part(SHARED_HEADS, model.roi.shared_head, (model.backbone,)),
}
