"""The networks with upstream's weights give upstream's numbers, layer by layer; and the weights come back."""

import jax
import numpy as np
import pytest

from jaxdet.convert.rules import export_state
from jaxdet.parity.compare import Comparison
from jaxdet.parity.two_stage import compare_inference
from upstream_case import load_model_under_test

WIDE = 'mmdet/faster_rcnn_x101_32x4d_fpn'


def test_every_recorded_tensor_of_a_resnext():
  tested = load_model_under_test(WIDE)
  comparison = Comparison(tested.case)
  with jax.default_matmul_precision('highest'):
    compare_inference(tested, comparison)
  assert comparison.covered == set(tested.case.tensors)
  assert [check for check in comparison.checks if not check.passed] == []


@pytest.mark.parametrize(
  'name',
  [WIDE, 'detectron2/cascade_mask_rcnn_R_50_FPN_1x', 'mmdet/mask_rcnn_r50_caffe_c4', 'mmdet/gn_mask_rcnn_r50_fpn'],
)
def test_export_gives_the_checkpoint_back_bit_by_bit(name):
  tested = load_model_under_test(name)
  exported = export_state(tested.variables, tested.rules)
  assert exported.keys() == tested.state.keys()
  assert all(np.array_equal(exported[name], array) for name, array in tested.state.items())
