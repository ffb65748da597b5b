"""Grid R-CNN against a recorded run of mmdetection."""

import jax
import pytest

from jaxdet.parity.compare import Comparison
from jaxdet.parity.learning import compare_learning
from jaxdet.parity.two_stage import compare_inference
from upstream_case import load_subject


@pytest.mark.slow
def test_everything_recorded_is_compared_and_agrees():
  tested = load_subject('mmdet/grid_rcnn_r50_fpn_gn')
  assert tested.differences == ()
  comparison = Comparison(tested.case)
  with jax.default_matmul_precision('highest'):
    compare_inference(tested, comparison)
    compare_learning(tested, comparison)
  assert comparison.covered == set(tested.case.tensors)
  assert [check for check in comparison.checks if not check.passed] == []
