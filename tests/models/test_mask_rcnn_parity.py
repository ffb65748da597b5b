"""Mask R-CNN against recorded runs of Detectron2 and mmdetection: features, detections, losses, gradients, training."""

import jax
import pytest

from jaxdet.parity.compare import STAGES, Comparison
from jaxdet.parity.learning import compare_learning, compare_training
from jaxdet.parity.two_stage import compare_inference
from upstream_case import load_case, load_model_under_test

DETECTRON2, MMDET = 'detectron2/mask_rcnn_R_50_FPN_1x_bitmask', 'mmdet/mask_rcnn_r50_fpn'
# Stages that are not compared here, or of other families.
ABSENT = ('config', 'training', 'head', 'encoder', 'decoder', 'pixels')


@pytest.fixture(scope='module', params=(DETECTRON2, MMDET))
def compared(request) -> Comparison:
  """What all of a case's numbers came to."""
  tested = load_model_under_test(request.param)
  assert tested.differences == ()
  comparison = Comparison(tested.case)
  with jax.default_matmul_precision('highest'):
    compare_inference(tested, comparison)
    compare_learning(tested, comparison)
  return comparison


def test_every_recorded_tensor_is_compared(compared):
  assert compared.covered == set(compared.case.tensors)


@pytest.mark.parametrize('stage', [stage for stage in STAGES if stage not in ABSENT])
def test_stage(compared, stage):
  checks = [check for check in compared.checks if check.stage == stage]
  assert checks and [check for check in checks if not check.passed] == []


@pytest.mark.slow
def test_five_steps_of_training():
  comparison = Comparison(load_case(MMDET))
  with jax.default_matmul_precision('highest'):
    compare_training(load_model_under_test(MMDET), comparison)
  assert len(comparison.checks) == 5 * 6 + 10
  assert [check for check in comparison.checks if not check.passed] == []
