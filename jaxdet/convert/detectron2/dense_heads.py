"""Names of Detectron2's heads on the levels of a pyramid: dense detectors', the RPN's, and semantic ones."""

from ml_collections import ConfigDict

from jaxdet.convert.detectron2.layers import conv_norm
from jaxdet.convert.names import Names


def two_towers(settings: ConfigDict) -> Names:
  """Names of the head of RetinaNet or FCOS: its towers are lists of convolutions, norms and activations."""
  step = 3 if settings.network.norm else 2
  return {
    'class_conv#': lambda i: f'cls_subnet.{step * i}',
    'class_conv#_norm': lambda i: f'cls_subnet.{step * i + 1}',
    'box_conv#': lambda i: f'bbox_subnet.{step * i}',
    'box_conv#_norm': lambda i: f'bbox_subnet.{step * i + 1}',
    'logits': 'cls_score',
    'boxes': 'bbox_pred',
    'centerness': 'ctrness',
  }


def rpn(settings: ConfigDict) -> Names:
  """Names of the head of a region proposal network."""
  single = settings.num_convs == 1
  return {
    'conv#': lambda i: 'conv' if single else f'conv.conv{i}',
    'logits': 'objectness_logits',
    'deltas': 'anchor_deltas',
  }


def semantic_fpn(settings: ConfigDict) -> Names:
  """Names of Panoptic FPN's semantic head: a level is a list in which every other module is an upsampling."""
  return conv_norm('level#_conv#', lambda level, i: f'p{level}.{2 * i}') | {'logits': 'predictor'}


DENSE_METHODS = {'retinanet': two_towers, 'fcos': two_towers}  # from `config.model.head`
RPN_HEADS = {'rpn': rpn}  # from `config.model.proposals`
SEMANTIC_HEADS = {'semantic_fpn': semantic_fpn}  # from `network` of `config.model.pyramid_tasks.semantic`
