"""Dense detectors against recorded runs of Detectron2 and mmdetection, the small ones; scripts/parity.py has all."""

import jax
import pytest

from jaxdet.parity.compare import Comparison
from jaxdet.parity.dense import compare_inference
from jaxdet.parity.learning import compare_learning
from upstream_case import load_subject


@pytest.mark.slow
@pytest.mark.parametrize(
  'name',
  [
    'mmdet/retinanet_r18_fpn',
    'detectron2/fcos_R_50_FPN_1x',
    'mmdet/gfl_r50_fpn',
    'mmdet/ssd300_vgg16',
    'mmdet/yolact_r50',
    'mmdet/cornernet_hourglass104',
  ],
)
def test_everything_recorded_is_compared_and_agrees(name):
  tested = load_subject(name)
  assert tested.differences == ()
  comparison = Comparison(tested.case)
  with jax.default_matmul_precision('highest'):
    compare_inference(tested, comparison)
    compare_learning(tested, comparison)
  assert comparison.covered == set(tested.case.tensors)
  assert [check for check in comparison.checks if not check.passed] == []
