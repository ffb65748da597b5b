"""Fixed AP: by hand, and as the `lvis` package gives it for the best detections of each category."""

import dataclasses
import math

import pytest
from metric_case import annotation, assert_same, dataset, detection, fixed_limit, lvis_referee, recorded_inputs, score

from jaxdet.evaluation.selection import PROTOCOLS

FIXED = PROTOCOLS['lvis_fixed']
BOX, ELSEWHERE = (10, 10, 40, 40), (100, 100, 40, 40)


def limited(category_limit):
  return dataclasses.replace(FIXED, category_limit=category_limit)


def test_a_category_has_10000_places_and_an_image_any_number():
  assert (FIXED.category_limit, FIXED.limits, FIXED.federated) == (10_000, (math.inf,), True)
  data = dataset([annotation(1, 10, 3, BOX)])
  records = [detection(10, 5, ELSEWHERE, 0.9) for _ in range(300)] + [detection(10, 3, BOX, 0.5)]
  assert score(data, records, 'lvis', 'bbox').summary()['AP'] == 0.0
  assert score(data, records, 'lvis_fixed', 'bbox').summary()['AP'] == pytest.approx(1.0)


def test_the_cut_comes_before_the_federated_filter():
  data = dataset([annotation(1, 10, 3, BOX), annotation(2, 11, 5, BOX)], images=2)
  # Image 11 says nothing of category 3, and its two detections take up places all the same.
  records = [detection(11, 3, ELSEWHERE, 0.9), detection(11, 3, ELSEWHERE, 0.8), detection(10, 3, BOX, 0.5)]
  assert score(data, records, limited(2), 'bbox').summary()['APr'] == 0.0
  assert score(data, records, limited(3), 'bbox').summary()['APr'] == pytest.approx(1.0)


def test_of_equal_scores_the_first_of_the_file_has_the_place():
  data = dataset([annotation(1, 10, 3, BOX)])
  hit, miss = detection(10, 3, BOX, 0.5), detection(10, 3, ELSEWHERE, 0.5)
  assert score(data, [hit, miss], limited(1), 'bbox').summary()['AP'] == pytest.approx(1.0)
  assert score(data, [miss, hit], limited(1), 'bbox').summary()['AP'] == 0.0


def test_images_that_the_file_does_not_list_take_no_place():
  data = dataset([annotation(1, 10, 3, BOX)])
  records = [detection(999, 3, BOX, 0.9), detection(10, 3, BOX, 0.5)]
  assert score(data, records, limited(1), 'bbox').summary()['AP'] == pytest.approx(1.0)


def test_recall_has_no_limit_in_its_name():
  names = score(dataset([annotation(1, 10, 3, BOX)]), [], 'lvis_fixed', 'bbox').summary()
  assert list(names)[-4:] == ['AR', 'ARs', 'ARm', 'ARl']


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_random_data_as_the_lvis_package(iou_type):
  for seed in range(12):
    data, records = recorded_inputs()[f'random {seed}']
    scores = score(data, records, limited(fixed_limit(seed)), iou_type)
    assert_same(scores, lvis_referee(f'fixed {seed}', iou_type))
