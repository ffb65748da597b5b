"""Converts Caffe2's blob names of ResNets, as in Detectron2's ImageNet weights (`R-50.pkl`), to Detectron2's names.

Of whole Caffe2 detectors only the backbone is converted.
"""

import re
from collections.abc import Mapping

import numpy as np

LAYER = re.compile(r'(res_conv1|conv1|res(?P<stage>\d)_(?P<block>\d+)_branch(?P<branch>1|2[abc]))_(?P<array>.+)')
FIRST_WEIGHT = 'stem.conv1.weight'
BRANCHES = {'1': 'shortcut', '2a': 'conv1', '2b': 'conv2', '2c': 'conv3'}
ARRAYS = {'w': 'weight', 'b': 'bias'}
NORM_ARRAYS = {
  's': 'weight',
  'gamma': 'weight',
  'b': 'bias',
  'beta': 'bias',
  'rm': 'running_mean',
  'running_mean': 'running_mean',
  'riv': 'running_var',
  'running_var': 'running_var',
}


def normalized(state: Mapping[str, np.ndarray], channel_order: str) -> Mapping[str, np.ndarray]:
  """Converts Caffe2's names to Detectron2's; other files are not changed.

  Args:
    state: arrays by name.
    channel_order: 'RGB' or 'BGR', of the detector that Detectron2 would load the file into. Caffe2's weights are for
      BGR images, so for 'RGB' the first convolution's channels are reversed.
  """
  if not is_caffe2(state):
    return state
  named = to_detectron2(state)
  return named if channel_order == 'BGR' else named | {FIRST_WEIGHT: np.flip(named[FIRST_WEIGHT], 1)}


def is_caffe2(state: Mapping[str, np.ndarray]) -> bool:
  """True if the names are Caffe2's."""
  return 'conv1_w' in state


def to_detectron2(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Renames weights to Detectron2's names, without a prefix; names that are not a ResNet's are not changed.

  In most of these files statistics are folded into the weight and bias of batch norms. As Detectron2 does when it loads
  them, such norms get mean 0 and variance 1 (its layer was made with 1 - epsilon, which loading replaces).
  """
  named, unfolded = {}, {}
  for blob, array in state.items():
    name = _name(blob)
    named[name] = array
    if blob.endswith('_bn_s'):
      module = name.removesuffix('weight')
      unfolded |= {f'{module}running_mean': np.zeros_like(array), f'{module}running_var': np.ones_like(array)}
  return unfolded | named


def _name(blob: str) -> str:
  layer = LAYER.fullmatch(blob)
  if not layer:
    return blob
  module = f'res{layer["stage"]}.{layer["block"]}.{BRANCHES[layer["branch"]]}' if layer['stage'] else 'stem.conv1'
  kind, _, array = layer['array'].partition('_')
  if kind in ('bn', 'gn') and array in NORM_ARRAYS:
    return f'{module}.norm.{NORM_ARRAYS[array]}'
  return f'{module}.{ARRAYS[kind]}' if layer['array'] in ARRAYS else blob
