"""Errors of tensors at the recorded samples."""

import math

import numpy as np
import pytest

from jaxdet.parity.compare import TENSOR, Check, Comparison, relative, tensor_error
from small_case import RECIPE, small_case

VALUE = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5) / 10  # N, H, W, C
RECORDED = VALUE.transpose(0, 3, 1, 2)


def case(recorded: np.ndarray = RECORDED, name: str = 'neck/p2'):
  rms = float(np.sqrt((recorded.astype(np.float64) ** 2).mean()))
  samples = recorded.reshape(-1)[RECIPE.sample_indices(recorded.size)]
  tensors = [{'name': name, 'shape': list(recorded.shape), 'mean': 0.0, 'rms': rms}]
  return small_case(arrays={f't/{name}': samples}, tensors=tensors)


def test_maps_are_compared_in_upstreams_layout():
  assert tensor_error(case(), 'neck/p2', VALUE) == 0


def test_deltas_of_anchors_belong_to_the_channels():
  deltas = VALUE.reshape(2, 3, 4, 5, 1).repeat(4, -1)
  recorded = deltas.reshape(2, 3, 4, 20).transpose(0, 3, 1, 2)
  assert tensor_error(case(recorded), 'neck/p2', deltas) == 0


def test_rows_with_several_axes_are_compared_flat():
  assert tensor_error(case(VALUE.reshape(6, 20)), 'neck/p2', VALUE.reshape(6, 5, 4)) == 0


def test_an_error_is_relative_to_the_rms():
  ours = VALUE.copy()
  ours[0, 0, 0, 0] += 0.5
  rms = case().tensors['neck/p2']['rms']
  assert tensor_error(case(), 'neck/p2', ours) == pytest.approx(0.5 / rms)


def test_only_the_asked_rows_count():
  ours = VALUE.copy()
  ours[1] += 1
  assert tensor_error(case(), 'neck/p2', ours, np.array([True, False])) == 0
  assert tensor_error(case(), 'neck/p2', ours, np.array([False, True])) > 0
  assert math.isnan(tensor_error(case(), 'neck/p2', ours, np.array([False, False])))


def test_another_shape_is_infinitely_wrong():
  assert tensor_error(case(), 'neck/p2', VALUE[:, :2]) == math.inf


def test_what_was_not_recorded_is_not_compared():
  comparison = Comparison(case())
  comparison.tensor('neck', 'neck/p3', VALUE)
  assert (comparison.checks, comparison.covered) == ([], set())
  comparison.tensor('neck', 'neck/p2', VALUE)
  assert comparison.checks == [Check('neck', 'neck/p2', 0.0, TENSOR)]
  assert comparison.covered == {'neck/p2'}


def test_rows_without_a_recorded_one_leave_a_tensor_uncovered_but_nans_do_not_pass():
  comparison = Comparison(case())
  comparison.tensor('neck', 'neck/p2', VALUE, np.array([False, False]))
  assert comparison.checks == []
  comparison.tensor('neck', 'neck/p2', VALUE * np.nan)
  assert not comparison.checks[0].passed


def test_rounding_explains_an_error_and_excuses_none():
  def comparison(shift: float, gradient: float) -> Comparison:
    made = Comparison(case())
    made.tensor('neck', 'neck/p2', VALUE + shift)
    made.number('gradients', 'weight', gradient, 1.0, 1e-3)
    return made

  ours = comparison(0.01, 1.01)
  assert [check.passed for check in ours.checks] == [False, False]
  ours.measure_rounding(comparison(0.005, 1.001))
  tensor, gradient = ours.checks
  assert tensor.rounding == pytest.approx(0.005 / case().tensors['neck/p2']['rms'], rel=1e-3)
  assert not tensor.passed and tensor.is_rounding and tensor.tolerance == TENSOR
  assert not gradient.passed and not gradient.is_rounding
  assert not Check('losses', 'a', 2e-4, 1e-4, rounding=9e-5).is_rounding  # float64 passes: it is our own rounding


def test_a_relative_error_of_next_to_nothing_is_small():
  assert relative(1.1, 1.0) == pytest.approx(0.1, rel=1e-3)
  assert relative(0.0, 0.0) == 0
  assert relative(1e-7, 0.0) == pytest.approx(1e-3)
