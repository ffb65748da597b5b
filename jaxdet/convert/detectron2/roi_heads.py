"""Names of Detectron2's RoI heads, with the classifiers of cvpods, which uses Detectron2's names."""

from ml_collections import ConfigDict

from jaxdet.convert.detectron2.backbones import BACKBONES
from jaxdet.convert.detectron2.layers import conv_norm
from jaxdet.convert.layouts import CONV, DECONV, linear_after_flatten
from jaxdet.convert.names import Named, Names


def res5(backbone: ConfigDict) -> Names:
  """Names of a backbone's last stage, the same as in the backbone."""
  return BACKBONES[backbone.name](backbone, CONV)


def conv_fc(settings: ConfigDict, stage: str) -> Names:
  """Names of a box head of convolutions and hidden layers, and of its last layers; `stage` is '0.' in a cascade."""
  head, predictor = f'box_head.{stage}', f'box_predictor.{stage}'
  names = conv_norm('conv#', lambda i: f'{head}conv{i + 1}')
  names |= {
    'fc0': Named(f'{head}fc1', linear_after_flatten(settings.roi_size)),
    'fc#': lambda i: f'{head}fc{i + 1}',
    'deltas': f'{predictor}bbox_pred',
  }
  if settings.classifier == 'linear':
    names['logits'] = f'{predictor}cls_score'
  if settings.classifier == 'cosine':  # of cvpods, as the calibration
    names |= {'logits/kernel': f'{predictor}cls_score.weight', 'logits/scale': f'{predictor}cls_score.scale'}
  if settings.calibration == 'disalign':
    names |= {
      'calibration/scale': f'{predictor}logit_scale',
      'calibration/bias': f'{predictor}logit_bias',
      'calibration/confidence': f'{predictor}confidence_layer',
    }
  return names


def conv_mask(settings: ConfigDict) -> Names:
  """Names of a mask head of convolutions."""
  names = conv_norm('conv#', lambda i: f'mask_fcn{i + 1}')
  return names | {'deconv': Named('deconv', DECONV), 'logits': 'predictor'}


SHARED_HEADS = {'res5': res5}  # from `config.model.backbone`
BOX_HEADS = {'conv_fc': conv_fc}  # from `config.model.roi.box_head` and the stage
MASK_HEADS = {'conv': conv_mask}  # from `config.model.roi.mask_head`
