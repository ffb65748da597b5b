"""Names of mmdetection 2 and 3: heads of dense detectors."""

import numpy as np
from ml_collections import ConfigDict

from jaxdet.convert import rules
from jaxdet.convert.rules import Rule

# By `config.model.head.name`, what stands before 'cls', 'reg' and 'centerness'.
PREFIXES = {'retinanet': 'retina', 'fcos': 'conv', 'atss': 'atss', 'gfl': 'gfl'}
LAYERS = {'logits': 'cls', 'boxes': 'reg', 'centerness': 'centerness'}


def dense_head(model: ConfigDict) -> list[Rule]:
  """The rules of a head with two towers."""
  head, entries = model.head.network, []
  for i in range(head.num_convs):
    for upstream, path in (('cls_convs', 'class_conv'), ('reg_convs', 'box_conv')):
      module = f'bbox_head.{upstream}.{i}'
      entries += rules.layer(f'{module}.conv', f'head/{path}{i}', bias=head.conv_bias)
      if head.deformable_last and i == head.num_convs - 1:
        entries += rules.layer(f'{module}.conv.conv_offset', f'head/{path}{i}/offset')
      if head.norm:
        entries += rules.norm(f'{module}.gn', f'head/{path}{i}_norm', head.norm)
  for path, upstream in LAYERS.items():
    if path != 'centerness' or head.centerness:
      entries += rules.layer(f'bbox_head.{PREFIXES[model.head.name]}_{upstream}', f'head/{path}')
  if head.scales:
    for i, level in enumerate(model.neck.levels):
      entries.append(Rule(f'bbox_head.scales.{i}.scale', f'params/head/scale{level}'))
  return entries


def constants(model: ConfigDict) -> dict[str, np.ndarray]:
  """What a checkpoint holds of GFL besides weights: the numbers that its distributions are over."""
  if model.name != 'dense' or model.head.name != 'gfl':
    return {}
  return {'bbox_head.integral.project': np.arange(model.head.largest + 1, dtype=np.float32)}
