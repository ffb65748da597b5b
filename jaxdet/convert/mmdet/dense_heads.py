"""Names of mmdetection's heads on pyramid levels: dense heads and RPN."""

from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from jaxdet.convert.mmdet.layers import conv_norm, norm_name
from jaxdet.convert.names import Names, within
from jaxdet.parts import find


def two_towers(last: str) -> Callable[[ConfigDict, ConfigDict], Names]:
  """Names of a head with two towers; names of the last layers begin with `last`."""

  def names(settings: ConfigDict, neck: ConfigDict) -> Names:
    norm = norm_name(settings.network.norm)

    def tower(path: str, convs: str) -> Names:
      return {
        f'{path}#': lambda i: f'{convs}.{i}.conv',
        f'{path}#_norm': lambda i: f'{convs}.{i}.{norm}',
        f'{path}#/offset': lambda i: f'{convs}.{i}.conv.conv_offset',
      }

    outputs = {'logits': f'{last}_cls', 'boxes': f'{last}_reg', 'centerness': f'{last}_centerness'}
    scales = {'scale#': lambda level: f'scales.{neck.levels.index(level)}.scale'}
    return tower('class_conv', 'cls_convs') | tower('box_conv', 'reg_convs') | outputs | scales

  return names


def yolact(settings: ConfigDict, neck: ConfigDict) -> Names:
  """Names of YOLACT's head."""
  outputs = {'logits': 'conv_cls', 'boxes': 'conv_reg', 'coefficients': 'conv_coeff'}
  return {'conv#': lambda i: f'head_convs.{i}.conv'} | outputs


def protonet(settings: ConfigDict) -> Names:
  """Names of YOLACT's mask branch: a list of layers with activations and one upsampling before the last but one."""
  count = settings.num_convs
  return {
    'conv#': lambda i: f'protonet.{2 * i if i < count else 2 * i + 2}',
    'prototypes': f'protonet.{2 * count + 4}',
    'semantic': 'segm_branch.segm_conv',
  }


def ssd(settings: ConfigDict, neck: ConfigDict) -> Names:
  """Names of SSD's head; layers are counted from level 3."""
  return {'logits#': lambda level: f'cls_convs.{level - 3}.0', 'boxes#': lambda level: f'reg_convs.{level - 3}.0'}


def cornernet(settings: ConfigDict, neck: ConfigDict) -> Names:
  """Names of CornerNet's head, whose levels are counted as here."""
  convs = (
    ('first', 'direction1_conv'),
    ('second', 'direction2_conv'),
    ('pooled', 'aftpool_conv'),
    ('shortcut', 'conv1'),
    ('output', 'conv2'),
  )
  pool, names = {}, {}
  for path, theirs in convs:
    pool |= conv_norm(path, lambda name=theirs: name, settings.network.norm)
  for corner, short in (('top_left', 'tl'), ('bottom_right', 'br')):
    names |= within(f'{corner}_pool#', lambda level, s=short: f'{s}_pool.{level}', pool)
    for output, theirs in (('logits', 'heat'), ('embedding', 'emb'), ('offsets', 'off')):
      layers = {'conv': '0.conv', 'output': '1.conv'}
      names |= within(f'{corner}_{output}#', lambda level, s=short, t=theirs: f'{s}_{t}.{level}', layers)
  return names


def gfl_constants(settings: ConfigDict, neck: ConfigDict) -> dict[str, np.ndarray]:
  """Constants of GFL's head: the values of its distributions, 0 to `largest`."""
  return {'integral.project': np.arange(settings.largest + 1, dtype=np.float32)}


def rpn(settings: ConfigDict, neck: ConfigDict) -> Names:
  """Names of the head of a region proposal network."""
  single = settings.num_convs == 1
  return {
    'conv#': lambda i: 'rpn_conv' if single else f'rpn_conv.{i}.conv',
    'logits': 'rpn_cls',
    'deltas': 'rpn_reg',
  }


def dense_proposals(settings: ConfigDict, neck: ConfigDict) -> Names:
  """Names of the head of a dense method that makes proposals."""
  return find(DENSE_METHODS, settings.head.name, 'proposals.head.name')(settings.head, neck)


# From `config.model.head` and the neck before it.
DENSE_METHODS = {
  'retinanet': two_towers('retina'),
  'fcos': two_towers('conv'),
  'atss': two_towers('atss'),
  'gfl': two_towers('gfl'),
  'yolact': yolact,
  'ssd': ssd,
  'cornernet': cornernet,
}
DENSE_CONSTANTS = {'gfl': gfl_constants}
# From `config.model.head.mask_branch`.
MASK_BRANCHES = {'protonet': protonet}
# From `config.model.proposals` and the neck before it.
RPN_HEADS = {'rpn': rpn, 'dense': dense_proposals}
