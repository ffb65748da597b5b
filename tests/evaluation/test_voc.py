"""VOC's average precision: by hand, and against the devkit's rule written down detection by detection."""

import numpy as np
import pytest
from metric_case import SIZE, annotation, dataset, read_detections

from jaxdet.evaluation.calibration import calibration_errors
from jaxdet.evaluation.ground_truth import ground_truth, load_ground_truth
from jaxdet.evaluation.operating_point import group_metrics
from jaxdet.evaluation.selection import PROTOCOLS
from jaxdet.evaluation.voc import voc_average_precision
from voc_case import write_split

A, B, FAR = (0, 0, 100, 100), (0, 0, 100, 80), (150, 150, 20, 20)


def score(data, records):
  truth = data if not isinstance(data, dict) else ground_truth(data, 'by hand')
  return voc_average_precision(truth, read_detections(truth, records, PROTOCOLS['voc']), PROTOCOLS['voc'], 'bbox')


def objects(*boxes, difficult=()):
  """Objects of category 3 in image 10; `difficult`: their positions."""
  return [annotation(i, 10, 3, box, ignore=int(i in difficult)) for i, box in enumerate(boxes)]


def detections(*boxes, scores=None, image_id=10):
  scores = scores or [0.9 - 0.1 * i for i in range(len(boxes))]
  return [
    {'image_id': image_id, 'category_id': 3, 'bbox': list(box), 'score': s}
    for box, s in zip(boxes, scores, strict=True)
  ]


def ap50(annotations, records):
  """(by area, by eleven recalls)"""
  summary = score(dataset(annotations, frequencies='r'), records).summary()
  return summary['AP50'], summary['AP50_11']


class TestByHand:
  def test_everything_found_is_one(self):
    assert ap50(objects(A, FAR), detections(A, FAR)) == pytest.approx((1, 1))

  def test_a_second_hit_of_an_object_is_wrong(self):
    # Precision 1 up to recall 1/2, then 2/3: six of the eleven recalls are at most 1/2.
    expected = (1 / 2 + 2 / 3 / 2, (6 + 5 * 2 / 3) / 11)
    assert ap50(objects(A, FAR), detections(A, A, FAR)) == pytest.approx(expected)

  def test_a_second_hit_does_not_fall_to_the_next_object(self):
    # It overlaps the first object by 0.9 and the second one by 0.89; COCO would give it the second.
    assert ap50(objects(A, B), detections(A, (0, 0, 100, 90))) == pytest.approx((1 / 2, 6 / 11))

  def test_difficult_objects_neither_count_nor_punish(self):
    assert ap50(objects(A, FAR, difficult=[0]), detections(A, A, FAR)) == pytest.approx((1, 1))
    assert ap50(objects(A, FAR, difficult=[0]), detections(FAR)) == pytest.approx((1, 1))

  def test_a_difficult_object_takes_what_it_overlaps_most(self):
    assert ap50(objects(A, B, difficult=[0]), detections((0, 0, 100, 95))) == (0, 0)

  def test_half_an_overlap_is_not_enough(self):
    assert ap50(objects(A), detections((0, 0, 100, 50))) == (0, 0)
    assert ap50(objects(A), detections((0, 0, 100, 51))) == (1, pytest.approx(1))

  def test_of_equal_scores_the_first_in_the_results_comes_first(self):
    wrong, right = (50, 150, 10, 10), A
    assert ap50(objects(A), detections(right, wrong, scores=[0.5, 0.5])) == pytest.approx((1, 1))
    assert ap50(objects(A), detections(wrong, right, scores=[0.5, 0.5])) == pytest.approx((1 / 2, 1 / 2))

  def test_a_recall_of_three_tenths_misses_the_fourth_of_the_eleven(self):
    row = [(20 * i, 0, 10, 10) for i in range(10)]
    assert ap50(objects(*row), detections(*row[:3])) == pytest.approx((3 / 10, 3 / 11))

  def test_thresholds_from_a_half_to_nineteen_twentieths(self):
    # An IoU of 0.72 is above 0.5, 0.55, 0.6, 0.65 and 0.7.
    summary = score(dataset(objects(A), frequencies='r'), detections((0, 0, 100, 72))).summary()
    assert [summary[name] for name in ('AP', 'AP50', 'AP75', 'AP_11', 'AR')] == pytest.approx([0.5, 1, 0, 0.5, 0.5])

  def test_categories_without_objects_are_left_out_and_those_without_detections_are_zero(self):
    found, missed, difficult = (annotation(k, 10, 3 + 2 * k, A, ignore=int(k == 2)) for k in range(3))
    scores = score(dataset([found, missed, difficult], frequencies='rrrr'), detections(A))
    assert scores.summary()['AP50'] == pytest.approx(1 / 2)
    assert scores.per_category()['AP50'] == [pytest.approx(1), 0, None, None]

  def test_no_objects_at_all(self):
    assert set(score(dataset([], frequencies='r'), detections(A)).summary().values()) == {None}

  def test_no_detections_at_all(self):
    assert ap50(objects(A), []) == (0, 0)

  def test_what_is_ignored_takes_no_part_in_the_operating_point_and_calibration(self):
    scores = score(
      dataset(objects(A, FAR, difficult=[0]), frequencies='r'),
      detections(A, FAR, (50, 150, 10, 10), scores=[0.9, 0.8, 0.15]),
    )
    assert [group_metrics(scores)[name] for name in ('F1', 'P@F1', 'R@F1', 'T@F1')] == pytest.approx([1, 1, 1, 0.8])
    assert calibration_errors(scores)['ECE'] == pytest.approx((0.2 + 0.15) / 2)

  def test_masks_have_no_such_metric(self):
    truth = ground_truth(dataset(objects(A)), 'by hand')
    with pytest.raises(ValueError, match=r"'segm' has no metrics .*eval.iou_types to \('bbox',\)"):
      voc_average_precision(truth, read_detections(truth, [], PROTOCOLS['voc']), PROTOCOLS['voc'], 'segm')


def devkit(truth, found, threshold):
  """(AP by area, AP by eleven recalls) of a category; None without objects that count.

  Args:
    truth: of each image (xmin, ymin, xmax, ymax, difficult), pixels from 1, the last one inside.
    found: (image, score, xmin, ymin, xmax, ymax), the same.
  """
  count = sum(not difficult for image in truth.values() for *_, difficult in image)
  if not count:
    return None
  taken, marks = set(), []
  for image, _, *box in sorted(found, key=lambda detection: -detection[1]):
    best, place = -1.0, None
    for i, (x1, y1, x2, y2, _) in enumerate(truth[image]):
      width, height = min(x2, box[2]) - max(x1, box[0]) + 1, min(y2, box[3]) - max(y1, box[1]) + 1
      both = max(width, 0) * max(height, 0)
      area = (x2 - x1 + 1) * (y2 - y1 + 1) + (box[2] - box[0] + 1) * (box[3] - box[1] + 1) - both
      if both / area > best:
        best, place = both / area, i
    if best <= threshold:
      marks.append(0)
    elif not truth[image][place][4]:
      marks.append(0 if (image, place) in taken else 1)
      taken.add((image, place))
  right = np.cumsum(marks)
  recall, precision = right / count, right / np.arange(1, len(marks) + 1)
  eleven = [max(precision[recall >= t], default=0) for t in np.arange(0, 1.1, 0.1)]
  area, before = 0, 0
  for i, r in enumerate(recall):
    area, before = area + (r - before) * max(precision[i:]), r
  return area, sum(eleven) / 11


@pytest.mark.parametrize('seed', range(4))
def test_random_data_against_the_devkits_rule(seed, tmp_path):
  """Difficult objects, objects that overlap, duplicates and equal scores, read from VOC's own files."""
  random = np.random.default_rng(seed)
  categories = ('aeroplane', 'cat', 'person')
  truth = {category: {} for category in categories}
  found = {category: [] for category in categories}
  images, records = {}, []
  for image_id in range(1, 9):
    rows = {category: [] for category in categories}
    for category in random.choice(categories, random.integers(0, 8)):
      x, y = random.integers(1, 100, 2)
      box = (x, y, *(random.integers(20, 90, 2) + (x, y)))
      rows[category].append((*box, int(random.random() < 0.3)))
      for _ in range(random.integers(0, 4)):
        near = np.add(box, random.normal(0, 6, 4))
        guess = category if random.random() < 0.8 else random.choice(categories)
        found[guess].append((image_id, round(random.random(), 1), *near))
    images[f'{image_id:06d}'] = ((SIZE, SIZE), [(c, row[:4], row[4]) for c in categories for row in rows[c]])
    for category in categories:
      truth[category][image_id] = rows[category]
  for id, category in ((1, 'aeroplane'), (8, 'cat'), (15, 'person')):
    for image_id, s, x1, y1, x2, y2 in found[category]:
      # The edges of what VOC's pixels cover.
      box = [x1 - 1, y1 - 1, x2 - (x1 - 1), y2 - (y1 - 1)]
      records.append({'image_id': image_id, 'category_id': id, 'bbox': box, 'score': s})

  scores = score(load_ground_truth(write_split(tmp_path, 'VOC2007', 'test', images)), records)
  for label, category in ((0, 'aeroplane'), (7, 'cat'), (14, 'person')):
    for t, threshold in enumerate(range(50, 100, 5)):
      expected = devkit(truth[category], found[category], threshold / 100)
      values = scores.area[t, label], scores.eleven[t, label]
      assert values == pytest.approx(expected or (np.nan, np.nan), abs=1e-12, nan_ok=True)
  assert 0.1 < scores.summary()['AP50'] < 0.9
