"""Caffe2's blob names become Detectron2's, with the statistics that Detectron2 gives a folded batch norm."""

import numpy as np
import pytest

from jaxdet.convert import caffe2, frameworks
from upstream_case import lvis_mask_rcnn


def resnet50_blobs() -> dict[str, np.ndarray]:
  """`R-50.pkl` by names, as Detectron's ImageNet files have them, with small arrays."""
  layers = {'conv1': 'res_conv1'}
  for stage, blocks in {2: 3, 3: 4, 4: 6, 5: 3}.items():
    for block in range(blocks):
      for branch in ('2a', '2b', '2c', '1')[: 4 if block == 0 else 3]:
        layers[f'res{stage}_{block}_branch{branch}'] = f'res{stage}_{block}_branch{branch}'
  names = [f'{conv}_w' for conv in layers] + [f'{norm}_bn_{array}' for norm in layers.values() for array in 'sb']
  return {name: np.full(2, i, np.float32) for i, name in enumerate([*names, 'conv1_b', 'fc1000_w', 'fc1000_b'])}


def test_a_resnets_names_are_detectron2s():
  state = caffe2.to_detectron2(resnet50_blobs())
  model = lvis_mask_rcnn()
  model.num_classes = 1
  wanted = {rule.upstream for rule in frameworks.backbone_rules('detectron2', model)}
  assert wanted <= state.keys()
  assert state.keys() - wanted == {'stem.conv1.bias', 'fc1000_w', 'fc1000_b'}


@pytest.mark.parametrize(
  'blob, name',
  [
    ('conv1_w', 'stem.conv1.weight'),
    ('res_conv1_bn_s', 'stem.conv1.norm.weight'),
    ('res_conv1_bn_riv', 'stem.conv1.norm.running_var'),
    ('conv1_gn_b', 'stem.conv1.norm.bias'),
    ('res4_22_branch2c_w', 'res4.22.conv3.weight'),
    ('res2_0_branch1_bn_b', 'res2.0.shortcut.norm.bias'),
    ('res2_0_branch2b_bn_rm', 'res2.0.conv2.norm.running_mean'),
    ('fpn_res5_2_sum_w', 'fpn_res5_2_sum_w'),
    ('pred_w', 'pred_w'),
  ],
)
def test_names(blob, name):
  array = np.ones(2)
  assert caffe2.to_detectron2({blob: array})[name] is array


def test_folded_statistics_are_zero_and_one():
  """Detectron2's FrozenBatchNorm2d, loading a weight and a bias alone, ends with exactly these."""
  state = caffe2.to_detectron2({'res_conv1_bn_s': np.float32([2, 3]), 'res_conv1_bn_b': np.float32([0, 0])})
  assert np.array_equal(state['stem.conv1.norm.running_mean'], np.float32([0, 0]))
  assert np.array_equal(state['stem.conv1.norm.running_var'], np.float32([1, 1]))


def test_statistics_that_are_there_stay():
  state = caffe2.to_detectron2({name: np.float32([5]) for name in ('res_conv1_bn_s', 'res_conv1_bn_riv')})
  assert state['stem.conv1.norm.running_var'] == 5 and state['stem.conv1.norm.running_mean'] == 0


def test_group_norms_have_none():
  assert caffe2.to_detectron2({'conv1_gn_s': np.ones(2)}).keys() == {'stem.conv1.norm.weight'}


def test_which_files_are_caffe2s():
  assert caffe2.is_caffe2(resnet50_blobs())
  assert not caffe2.is_caffe2({'stem.conv1.weight': np.ones(1)})


def test_colours_are_in_the_detectors_order():
  weight = np.arange(3).reshape(1, 3, 1, 1)
  for order, channels in (('BGR', [0, 1, 2]), ('RGB', [2, 1, 0])):
    assert caffe2.normalized({'conv1_w': weight}, order)['stem.conv1.weight'].ravel().tolist() == channels
  state = {'stem.conv1.weight': weight}
  assert caffe2.normalized(state, 'RGB') is state
