"""Panoptic FPN and its semantic head alone against recorded runs of Detectron2; scripts/parity.py has a large one."""

import jax
import pytest

from jaxdet.parity import pixels, two_stage
from jaxdet.parity.compare import Comparison
from jaxdet.parity.learning import compare_learning
from upstream_case import load_subject

CASES = {
  'detectron2/semantic_R_50_FPN_1x': (pixels.compare_inference, {'sem_seg0/argmax', 'sem_seg1/argmax'}),
  'detectron2/panoptic_fpn_R_50_1x': (
    two_stage.compare_inference,
    {name for i in (0, 1) for name in (f'sem_seg{i}/argmax', f'panoptic{i}/ids', f'panoptic{i}/segments')},
  ),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', CASES)
def test_everything_recorded_is_compared_and_agrees(name):
  compare_inference, maps = CASES[name]
  tested = load_subject(name)
  assert tested.differences == ()
  comparison = Comparison(tested.case)
  with jax.default_matmul_precision('highest'):
    compare_inference(tested, comparison)
    compare_learning(tested, comparison)
  assert comparison.covered == set(tested.case.tensors)
  assert {check.name for check in comparison.checks if check.stage == 'pixels'} == maps
  assert [check for check in comparison.checks if not check.passed] == []
