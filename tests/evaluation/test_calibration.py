"""Calibration errors computed by hand."""

import numpy as np
import pytest
from metric_case import annotation, dataset, detection, score

from jaxdet.evaluation.average_precision import MatchedDetections, Scores
from jaxdet.evaluation.calibration import calibration_bins, calibration_errors
from jaxdet.evaluation.selection import PROTOCOLS

BOX, ELSEWHERE = (10, 10, 40, 40), (100, 100, 40, 40)


def errors(label, scores, hits, frequencies='rcf', protocol='lvis'):
  matched = MatchedDetections(
    np.array(label, int), np.array(scores, float), np.array(hits, bool), np.zeros(len(frequencies), int)
  )
  empty = np.full((10, 1, len(frequencies), 4), np.nan)
  return calibration_errors(Scores(empty, empty, matched, PROTOCOLS[protocol], tuple(frequencies)))


def test_bins_are_weighted_by_their_detections():
  # The last bin: one detection, |1 - 0.95|. That before: two of which one is right, |1 / 2 - 0.84|.
  metrics = errors([0, 1, 1], [0.95, 0.82, 0.86], [True, False, True])
  assert metrics['ECE'] == pytest.approx((1 * 0.05 + 2 * 0.34) / 3)
  assert (metrics['ECEr'], metrics['ECEc'], metrics['ECEf']) == (pytest.approx(0.05), pytest.approx(0.34), None)


def test_classwise_is_the_mean_over_categories_with_detections():
  metrics = errors([0, 1, 1], [0.95, 0.82, 0.86], [True, False, True])
  assert metrics['cwECE'] == pytest.approx((0.05 + 0.34) / 2)
  assert (metrics['cwECEr'], metrics['cwECEf']) == (pytest.approx(0.05), None)
  # Together they are right half of the time; each by itself is not.
  metrics = errors([0, 1], [0.5, 0.5], [True, False], 'rr')
  assert (metrics['ECEr'], metrics['cwECEr']) == (0.0, 0.5)


def test_a_bin_begins_with_its_lower_edge_and_the_last_ends_with_one():
  scores = np.arange(11) / 10
  count, gap = calibration_bins(MatchedDetections(np.zeros(11, int), scores, np.ones(11, bool), np.zeros(1, int)), 1)
  assert count.tolist() == [[1] * 9 + [2]]
  assert gap[0] == pytest.approx([1 - 0.1 * i for i in range(9)] + [0.1])


def test_scores_that_are_probabilities_have_almost_no_error():
  random = np.random.default_rng(0)
  scores = random.random(100_000)
  metrics = errors(np.zeros(len(scores)), scores, random.random(len(scores)) < scores, 'f')
  assert metrics['ECE'] == metrics['cwECEf'] < 0.01
  assert errors(np.zeros(len(scores)), scores, random.random(len(scores)) < scores**2, 'f')['ECE'] > 0.1


def test_scores_outside_0_to_1_have_no_calibration():
  assert set(errors([0, 0], [0.5, 1.2], [True, True]).values()) == {None}
  assert set(errors([0, 0], [0.5, -0.1], [True, True]).values()) == {None}


def test_coco_has_no_groups():
  assert list(errors([0], [0.5], [True], protocol='coco')) == ['ECE', 'cwECE']


def test_only_judged_detections_that_are_not_ignored_count():
  objects = [annotation(1, 10, 3, BOX), annotation(2, 11, 5, BOX, ignore=1)]
  data = dataset(objects, images=2, negative=[7])
  data['images'][0]['not_exhaustive_category_ids'] = [3]
  records = [
    detection(10, 3, BOX, 0.75),  # counts: right
    detection(10, 3, ELSEWHERE, 0.65),  # forgiven, since category 3 is not exhaustive
    detection(10, 5, BOX, 0.55),  # not judged in this image
    detection(11, 5, BOX, 0.45),  # matched with an object that is ignored
    detection(11, 5, ELSEWHERE, 0.35),  # counts: wrong
    detection(11, 7, ELSEWHERE, 0.25),  # counts: wrong, category 7 is known to be absent
  ]
  scores = score(data, records, 'lvis', 'bbox')
  assert sorted(scores.matched.score) == [0.25, 0.35, 0.75]
  metrics = calibration_errors(scores)
  assert metrics['ECE'] == pytest.approx((0.25 + 0.35 + 0.25) / 3)
  assert [metrics[f'ECE{group}'] for group in 'rcf'] == pytest.approx([0.25, 0.35, 0.25])


def test_a_hit_is_a_match_at_iou_one_half():
  data = dataset([annotation(1, 10, 3, (0, 0, 30, 30))])
  for height, expected in ((16, 0.25), (14, 0.75)):
    scores = score(data, [detection(10, 3, (0, 0, 30, height), 0.75)], 'lvis', 'bbox')
    assert calibration_errors(scores)['ECE'] == pytest.approx(expected)
