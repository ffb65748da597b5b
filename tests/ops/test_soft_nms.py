"""Soft suppression: by hand, box after box, and mmcv's operator."""

import jax
import numpy as np
import pytest

from jaxdet.ops.soft_nms import soft_nms
from op_case import op_case

# Each overlaps the one before by 0.43.
BOXES = np.float32([[0, 0, 10, 10], [0, 4, 10, 14], [0, 8, 10, 18], [50, 50, 60, 60]])
SCORES = np.float32([0.9, 0.8, 0.7, 0.6])
OVERLAP = 6 / 14


def kept(scores=SCORES, boxes=BOXES, valid=None, k=4, decay='linear', iou=0.3, score=0.0, groups=None):
  """(row, score) of what is kept, best first."""
  valid = np.ones(len(boxes), bool) if valid is None else np.array(valid)
  function = jax.jit(soft_nms, static_argnames=('k', 'decay', 'iou', 'sigma', 'score_threshold'))
  found = function(
    boxes, np.float32(scores), valid, k=k, decay=decay, iou=iou, sigma=0.5, score_threshold=score, groups=groups
  )
  assert not found.scores[~found.valid].any() and not found.index[~found.valid].any()
  return [
    (int(row), float(value)) for row, value in zip(found.index[found.valid], found.scores[found.valid], strict=True)
  ]


def test_what_better_boxes_overlap_comes_later():
  # The third overlaps the first by 1/9 alone, too little for the linear decay.
  expected = [(0, 0.9), (2, 0.7), (3, 0.6), (1, 0.8 * (1 - OVERLAP) ** 2)]
  rows, scores = zip(*kept(), strict=True)
  assert rows == tuple(row for row, _ in expected)
  np.testing.assert_allclose(scores, [score for _, score in expected], rtol=1e-6)


def test_gaussian_decay_has_no_threshold_and_ordinary_suppression_drops():
  found = dict(kept(decay='gaussian', iou=0.99))
  far = 2 / 18
  assert list(found) == [0, 2, 3, 1]
  np.testing.assert_allclose(found[2], 0.7 * np.exp(-(far**2) / 0.5), rtol=1e-6)
  np.testing.assert_allclose(found[1], 0.8 * np.exp(-2 * OVERLAP**2 / 0.5), rtol=1e-6)
  assert [row for row, _ in kept(decay='hard')] == [0, 2, 3]


def test_groups_leave_each_other_alone():
  assert [score for _, score in kept(groups=np.arange(4))] == SCORES.tolist()


def test_rows_that_are_not_valid_or_fall_below_the_threshold_are_not_kept():
  assert [row for row, _ in kept(valid=[False, True, True, True])] == [1, 3, 2]
  assert [row for row, _ in kept(score=0.5)] == [0, 2, 3]
  assert [row for row, _ in kept(scores=[0.9, np.nan, -1.0, 0.6])] == [0, 3]
  assert kept(valid=[False] * 4) == []


def test_k_cuts_and_may_be_more_than_there_are():
  assert kept(k=2) == kept()[:2]
  assert kept(k=9) == kept()


def test_an_unknown_decay_is_named():
  with pytest.raises(ValueError, match="decay of scores 'gausian'; the nearest is 'gaussian'"):
    kept(decay='gausian')


@pytest.mark.parametrize('name, decay', [('linear', 'linear'), ('gaussian', 'gaussian'), ('naive', 'hard')])
def test_equals_mmcv(name, decay):
  case = op_case('soft_nms', name)
  args, boxes, scores = case.args, case.inputs['boxes'], case.inputs['scores']
  found = kept(scores, boxes, k=len(boxes), decay=decay, iou=args['iou_threshold'], score=args['min_score'])
  assert [row for row, _ in found] == case.outputs['keep'].tolist()
  np.testing.assert_allclose([score for _, score in found], case.outputs['dets'][:, 4], rtol=1e-5)
