"""Metrics of semantic segmentation by hand."""

import numpy as np
import pytest

from jaxdet.evaluation.semantic import confusion, iou_by_class, semantic_metrics


def test_pixels_are_counted_by_prediction_and_truth_but_for_those_that_do_not_count():
  found, truth = np.array([[0, 0, 1, 1], [2, 2, 2, 0]]), np.array([[0, 1, 1, 255], [2, 2, 0, 255]])
  np.testing.assert_array_equal(confusion(found, truth, 4, 255), [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 2, 0], [0] * 4])


def test_means_are_over_annotated_classes():
  # Class 0: 6 of 8 right, class 1: 1 of 2, class 2 is only predicted, class 3 neither.
  matrix = np.array([[6, 1, 0, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]])
  assert semantic_metrics(matrix) == pytest.approx(
    {
      'mIoU': (6 / 9 + 1 / 2) / 2,
      'fwIoU': 0.8 * 6 / 9 + 0.2 * 1 / 2,
      'mACC': (6 / 8 + 1 / 2) / 2,
      'pACC': 7 / 10,
    }
  )
  assert iou_by_class(matrix) == pytest.approx([6 / 9, 1 / 2, None, None])


def test_without_a_pixel_that_counts_there_is_no_metric():
  assert set(semantic_metrics(np.zeros((3, 3), np.int64)).values()) == {None}


def test_classes_beyond_the_number_and_other_sizes_are_refused():
  with pytest.raises(ValueError, match='the ground truth has class 7, where there are 3'):
    confusion(np.zeros((1, 2), int), np.array([[0, 7]]), 3, 255)
  with pytest.raises(ValueError, match=r'of size \(1, 2\), the ground truth of \(2, 1\)'):
    confusion(np.zeros((1, 2), int), np.zeros((2, 1), int), 3, 255)
