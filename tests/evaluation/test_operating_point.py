"""Precision, recall and score at the best F1, computed by hand."""

import numpy as np
import pytest
from metric_case import annotation, dataset, detection, score

from jaxdet.evaluation.operating_point import best_f1, group_metrics

BOXES = [(10, 10, 40, 40), (60, 60, 40, 40), (120, 120, 40, 40)]


def test_the_best_of_four_thresholds():
  scores, hits = np.array([0.6, 0.9, 0.7, 0.8]), np.array([False, True, True, False])
  # F1 is 2 / 5 from 0.9 on, 2 / 6 from 0.8, 4 / 7 from 0.7 and 4 / 8 from 0.6.
  assert best_f1(scores, hits, 4) == pytest.approx((4 / 7, 2 / 3, 2 / 4, 0.7))


def test_of_equal_scores_all_are_taken():
  for hits in ([True, False, False], [False, False, True]):
    assert best_f1(np.full(3, 0.5), np.array(hits), 1) == pytest.approx((0.5, 1 / 3, 1, 0.5))


def test_of_equal_f1_the_higher_score_is_taken():
  # 2 / 4 from 0.9 on, 4 / 8 from 0.4.
  hits = np.array([True, False, False, False, True])
  assert best_f1(np.array([0.9, 0.8, 0.7, 0.6, 0.4]), hits, 3) == pytest.approx((0.5, 1, 1 / 3, 0.9))


def test_nothing_found_and_nothing_to_find():
  assert best_f1(np.array([0.9]), np.array([False]), 2) == (0.0, 0.0, 0.0, None)
  assert best_f1(np.zeros(0), np.zeros(0, bool), 2) == (0.0, 0.0, 0.0, None)
  assert best_f1(np.array([0.9]), np.array([False]), 0) == (None, None, None, None)


class TestGroups:
  """One object of a rare category (id 3), two of a common one (5); a frequent one (7) is known to be absent."""

  def metrics(self, protocol, **fields):
    objects = [annotation(1 + i, 10, id, box) for i, (id, box) in enumerate(zip((3, 5, 5), BOXES, strict=True))]
    records = [
      detection(10, 3, (150, 10, 40, 40), 0.95),
      detection(10, 3, BOXES[0], 0.9),
      detection(10, 5, BOXES[1], 0.8),
      detection(10, 7, BOXES[2], 0.3),
    ]
    return group_metrics(score(dataset(objects, negative=[7], **fields), records, protocol, 'bbox'))

  def test_each_group_has_a_score_of_its_own(self):
    metrics = self.metrics('lvis')
    assert [metrics[name] for name in ('ARr@300', 'ARc@300', 'ARf@300')] == [1.0, 0.5, None]
    expected = {
      'r': (2 / 3, 1 / 2, 1, 0.9),
      'c': (2 / 3, 1, 1 / 2, 0.8),
      'f': (None, None, None, None),
      '': (2 / 3, 2 / 3, 2 / 3, 0.8),  # two of three objects by three detections
    }
    for group, values in expected.items():
      found = [metrics[name.format(group)] for name in ('F1{}', 'P{}@F1', 'R{}@F1', 'T{}@F1')]
      assert found == [value if value is None else pytest.approx(value) for value in values], group

  def test_a_miss_of_a_category_that_is_not_exhaustive_does_not_count(self):
    metrics = self.metrics('lvis', not_exhaustive=[3])
    assert (metrics['F1r'], metrics['Pr@F1']) == (1.0, 1.0)

  def test_objects_that_are_ignored_are_not_missed(self):
    data = dataset([annotation(1, 10, 3, BOXES[0]), annotation(2, 10, 3, BOXES[1], ignore=1)])
    assert group_metrics(score(data, [detection(10, 3, BOXES[0], 0.9)], 'lvis', 'bbox'))['R@F1'] == 1.0

  def test_coco_has_no_groups(self):
    assert list(self.metrics('coco')) == ['F1', 'P@F1', 'R@F1', 'T@F1']

  def test_without_a_limit_recall_has_none_in_its_name(self):
    assert self.metrics('lvis_fixed')['ARc'] == 0.5
