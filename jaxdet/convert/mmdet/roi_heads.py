"""Names of mmdetection's RoI heads."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from jaxdet.convert.layouts import CONV, DECONV, linear_after_flatten
from jaxdet.convert.mmdet.backbones import BACKBONES, basic_block
from jaxdet.convert.mmdet.layers import conv_norm, norm_name
from jaxdet.convert.names import Named, Names, within


def res5(backbone: ConfigDict) -> Names:
  """Names of a backbone's last stage, the same as in the backbone."""
  return BACKBONES[backbone.name](backbone, CONV)


def deformable_roi_pool(levels: Sequence[int], size: int) -> Names:
  """Names of the offset and weight layers of deformable RoI pooling, separate for every level."""
  flattened = linear_after_flatten(size)

  def names(path: str, module: str) -> Names:
    def name(level: int, i: int) -> str:
      return f'roi_layers.{levels.index(level)}.{module}.{2 * i}'

    return {f'{path}#_fc0': lambda level: Named(name(level, 0), flattened), f'{path}#_fc#': name}

  return names('offset', 'offset_fc') | names('weight', 'mask_fc')


def conv_fc(settings: ConfigDict) -> Names:
  """Names of a box head of convolutions and hidden layers."""
  names = conv_norm('conv#', lambda i: f'shared_convs.{i}', settings.norm)
  names |= {
    'fc0': Named('shared_fcs.0', linear_after_flatten(settings.roi_size)),
    'fc#': lambda i: f'shared_fcs.{i}',
    'deltas': 'fc_reg',
  }
  if settings.classifier in ('linear', 'normed'):
    names['logits'] = 'fc_cls'
  return names


def double(settings: ConfigDict) -> Names:
  """Names of a double head."""
  return {
    'fc0': Named('fc_branch.0', linear_after_flatten(settings.roi_size)),
    'fc#': lambda i: f'fc_branch.{i}',
    'logits': 'fc_cls',
    'deltas': 'fc_reg',
    **conv_norm('widening/conv#', lambda i: f'res_block.conv{i}', settings.norm),
    **conv_norm('widening/shortcut', lambda: 'res_block.conv_identity', settings.norm),
    **within('block#', lambda i: f'conv_branch.{i}', basic_block(norm_name(settings.norm))),
  }


def conv_mask(settings: ConfigDict) -> Names:
  """Names of a mask head of convolutions."""
  names = conv_norm('conv#', lambda i: f'convs.{i}', settings.norm)
  return names | {'deconv': Named('upsample', DECONV), 'logits': 'conv_logits'}


def mask_iou(settings: ConfigDict, roi_size: int) -> Names:
  """Names of a mask IoU head, whose last convolution halves RoIs of `roi_size` bins a side."""
  return {
    'conv#': lambda i: f'convs.{i}',
    'fc0': Named('fcs.0', linear_after_flatten((roi_size + 1) // 2)),
    'fc#': lambda i: f'fcs.{i}',
    'ious': 'fc_mask_iou',
  }


def fused_grid(settings: ConfigDict) -> Names:
  """Names of a grid head with fusion of neighbouring points."""
  names = {'deconv0': Named('deconv1', DECONV), 'deconv0_norm': 'norm1', 'deconv1': Named('deconv2', DECONV)}
  names |= conv_norm('conv#', lambda i: f'convs.{i}', 'gn')
  for order, module in (('first', 'forder_trans'), ('second', 'sorder_trans')):
    for k, conv in enumerate(('depthwise', 'pointwise')):
      names[f'{order}/from#_#/{conv}'] = lambda i, j, module=module, k=k: f'{module}.{i}.{j}.{k}'
  return names


def seesaw(settings: ConfigDict) -> Names:
  """Name of the seesaw loss's counts."""
  return {'samples': 'loss_cls.cum_samples'}


SHARED_HEADS = {'res5': res5}  # from `config.model.backbone`
ROI_POOLS = {'v1': deformable_roi_pool, 'v2': deformable_roi_pool}  # from the levels and the bins along a side
# From the head's, or the loss's, own settings.
BOX_HEADS = {'conv_fc': conv_fc, 'double': double}
MASK_HEADS = {'conv': conv_mask}
MASK_IOU_HEADS = {'conv_fc': mask_iou}  # from the head's settings and the bins along a side
GRID_HEADS = {'fused': fused_grid}
CLASS_LOSSES = {'seesaw': seesaw}
