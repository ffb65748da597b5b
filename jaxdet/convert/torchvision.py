"""Names of torchvision's ResNets, and of its Mask and Faster R-CNN with FPN (`maskrcnn_resnet50_fpn`).

torchvision counts background as class 0 and regresses boxes and masks for it too. These rows are never trained there:
they are dropped on import and zeros on export.
"""

from ml_collections import ConfigDict

from jaxdet.convert.layouts import DECONV, FIRST_ROW_LAST, Layout, first_conv, linear_after_flatten, without_first_rows
from jaxdet.convert.names import Named, Names
from jaxdet.convert.parts import part


def resnet(settings: ConfigDict, image: Layout, norm: str = 'bn') -> Names:
  """Names of a ResNet or ResNeXt without classifier.

  Args:
    settings: `config.model.backbone`.
    image: layout of the convolution on the image.
    norm: name of norms, without the number.
  """
  return {
    'stem/conv': Named('conv1', image),
    'stem/norm': f'{norm}1',
    'stage#/block#/conv#': lambda s, b, i: f'layer{s - 1}.{b}.conv{i}',
    'stage#/block#/norm#': lambda s, b, i: f'layer{s - 1}.{b}.{norm}{i}',
    'stage#/block#/conv2/offset': lambda s, b: f'layer{s - 1}.{b}.conv2.conv_offset',  # mmdetection's name
    'stage#/block#/shortcut_conv': lambda s, b: f'layer{s - 1}.{b}.downsample.0',
    'stage#/block#/shortcut_norm': lambda s, b: f'layer{s - 1}.{b}.downsample.1',
  }


def fpn(settings: ConfigDict) -> Names:
  """Names of a feature pyramid network without norms, with pooled extra levels."""
  position = list(settings.levels).index
  return {
    'lateral#': lambda level: f'inner_blocks.{position(level)}.0',
    'output#': lambda level: f'layer_blocks.{position(level)}.0',
  }


def rpn(settings: ConfigDict) -> Names:
  """Names of the head of a region proposal network."""
  return {'conv#': lambda i: f'conv.{i}.0', 'logits': 'cls_logits', 'deltas': 'bbox_pred'}


def conv_fc(settings: ConfigDict) -> Names:
  """Names of a box head of two hidden layers."""
  names = {
    'fc0': Named('box_head.fc6', linear_after_flatten(settings.roi_size)),
    'fc1': 'box_head.fc7',
    'deltas': Named('box_predictor.bbox_pred', rows=without_first_rows(4)),
  }
  if settings.classifier == 'linear':
    names['logits'] = Named('box_predictor.cls_score', rows=FIRST_ROW_LAST)
  return names


def conv_mask(settings: ConfigDict) -> Names:
  """Names of a mask head."""
  return {
    'conv#': lambda i: f'mask_head.{i}.0',
    'deconv': Named('mask_predictor.conv5_mask', DECONV),
    'logits': Named('mask_predictor.mask_fcn_logits', rows=without_first_rows(1)),
  }


# Functions of the part's own settings; a backbone's also of the layout of its convolution on the image.
BACKBONES = {'resnet': resnet}
NECKS = {'fpn': fpn}
RPN_HEADS = {'rpn': rpn}
BOX_HEADS = {'conv_fc': conv_fc}
MASK_HEADS = {'conv': conv_mask}

ROLES = {
  'backbone': lambda model, _: part(
    BACKBONES, model.backbone, first_conv(model.channel_order), prefix='backbone.body.'
  ),
  'neck': lambda model, _: part(NECKS, model.neck, prefix='backbone.fpn.'),
  'rpn_head': lambda model, _: part(RPN_HEADS, model.proposals, prefix='rpn.head.'),
  'box_head': lambda model, _: part(BOX_HEADS, model.roi.box_head, prefix='roi_heads.'),
  'mask_head': lambda model, _: part(MASK_HEADS, model.roi.mask_head, prefix='roi_heads.'),
}
