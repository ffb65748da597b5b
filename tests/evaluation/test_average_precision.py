"""The metrics equal numbers computed by hand, and those of the `lvis` and `pycocotools` packages."""

import gzip
import json

import numpy as np
import pytest
from metric_case import (
  annotation,
  assert_same,
  coco_referee,
  dataset,
  detection,
  lvis_referee,
  read_detections,
  recorded_inputs,
  score,
  synthetic,
)

import parity_kit
from jaxdet.evaluation.average_precision import AREAS, average_precision
from jaxdet.evaluation.detection_scores import only_boxes
from jaxdet.evaluation.ground_truth import ground_truth, load_ground_truth
from jaxdet.evaluation.selection import PROTOCOLS


class TestByHand:
  """One image; a rare category (id 3), a common one (5) and a frequent one (7) without objects."""

  def test_one_category_perfect_and_one_half_found(self):
    data = dataset(
      [
        annotation(1, 10, 3, (10, 10, 20, 20)),
        annotation(2, 10, 5, (50, 50, 40, 40)),
        annotation(3, 10, 5, (120, 120, 40, 40)),
      ]
    )
    records = [detection(10, 3, (10, 10, 20, 20), 0.9), detection(10, 5, (50, 50, 40, 40), 0.8)]
    for iou_type in ('bbox', 'segm'):
      metrics = score(data, records, 'lvis', iou_type).summary()
      # Recall 0.5 at precision 1: 51 of the 101 recalls 0, 0.01, ... 0.5 are reached.
      assert metrics['APr'] == pytest.approx(1.0)
      assert metrics['APc'] == pytest.approx(51 / 101)
      assert metrics['APf'] is None
      assert metrics['AP'] == pytest.approx((1 + 51 / 101) / 2)
      assert metrics['AR@300'] == pytest.approx(0.75)
      assert metrics['APs'] == pytest.approx(1.0)  # 20 x 20
      assert metrics['APm'] == pytest.approx(51 / 101)
      assert metrics['APl'] is None

  def test_a_better_scored_miss_halves_precision(self):
    data = dataset([annotation(1, 10, 3, (10, 10, 40, 40))])
    records = [detection(10, 3, (100, 100, 40, 40), 0.9), detection(10, 3, (10, 10, 40, 40), 0.8)]
    assert score(data, records, 'lvis', 'bbox').summary()['AP'] == pytest.approx(0.5)

  def test_iou_of_two_thirds_counts_up_to_threshold_0_65(self):
    data = dataset([annotation(1, 10, 3, (0, 0, 30, 30))])
    records = [detection(10, 3, (0, 0, 30, 20), 0.9)]
    metrics = score(data, records, 'lvis', 'bbox').summary()
    assert metrics['AP'] == pytest.approx(0.4)  # 0.5, 0.55, 0.6 and 0.65 of ten thresholds
    assert (metrics['AP50'], metrics['AP75']) == pytest.approx((1.0, 0.0))

  def test_detections_of_categories_that_were_not_judged_do_not_count(self):
    data = dataset([annotation(1, 10, 3, (10, 10, 40, 40)), annotation(2, 11, 5, (10, 10, 40, 40))], images=2)
    records = [
      detection(10, 3, (10, 10, 40, 40), 0.5),
      detection(11, 3, (10, 10, 40, 40), 0.9),  # image 11 says nothing of category 3
      detection(11, 5, (10, 10, 40, 40), 0.5),
    ]
    assert score(data, records, 'lvis', 'bbox').summary()['AP'] == pytest.approx(1.0)
    data['images'][1]['neg_category_ids'] = [3]
    assert score(data, records, 'lvis', 'bbox').summary()['AP'] == pytest.approx(0.75)
    assert score(data, records, 'coco', 'bbox').summary()['AP'] == pytest.approx(0.75)

  def test_misses_of_not_exhaustive_categories_are_forgiven(self):
    data = dataset([annotation(1, 10, 3, (10, 10, 40, 40))], not_exhaustive=[3])
    records = [detection(10, 3, (100, 100, 40, 40), 0.9), detection(10, 3, (10, 10, 40, 40), 0.8)]
    assert score(data, records, 'lvis', 'bbox').summary()['AP'] == pytest.approx(1.0)

  def test_an_object_without_area_says_nothing_of_its_image(self):
    data = dataset([annotation(1, 10, 3, (10, 10, 40, 40)), annotation(2, 11, 3, (10, 10, 40, 40), area=0)], images=2)
    records = [detection(11, 3, (100, 100, 40, 40), 0.9), detection(10, 3, (10, 10, 40, 40), 0.8)]
    assert score(data, records, 'lvis', 'bbox').summary()['AP'] == pytest.approx(1.0)

  def test_of_equal_overlaps_the_last_object_is_taken(self):
    data = dataset([annotation(1, 10, 3, (0, 0, 30, 30)), annotation(2, 10, 3, (10, 0, 30, 30))])
    records = [detection(10, 3, (5, 0, 30, 30), 0.9), detection(10, 3, (0, 0, 30, 30), 0.8)]
    # The first has IoU 0.714 with both and leaves the first object to the second. Above 0.7 it is a miss.
    expected = 0.5 * 1 + 0.5 * (0.5 * 51 / 101)
    for protocol in ('lvis', 'coco'):
      assert score(data, records, protocol, 'bbox').summary()['AP'] == pytest.approx(expected)

  def test_the_cut_to_300_comes_before_the_federated_filter(self):
    data = dataset([annotation(1, 10, 3, (10, 10, 40, 40))])
    others = [detection(10, 5, (100, 100, 9, 9), 0.9) for _ in range(300)]  # not judged, but they fill the 300
    hit = detection(10, 3, (10, 10, 40, 40), 0.5)
    assert score(data, [*others[1:], hit], 'lvis', 'bbox').summary()['AP'] == pytest.approx(1.0)
    assert score(data, [*others, hit], 'lvis', 'bbox').summary()['AP'] == 0.0
    unknown = [record | {'category_id': 999} for record in others]  # not even in the file
    assert score(data, [*unknown, hit], 'lvis', 'bbox').summary()['AP'] == 0.0

  def test_coco_crowds_take_any_number_of_detections_and_never_count(self):
    crowd = annotation(2, 10, 3, (100, 100, 80, 80), iscrowd=1)
    data = dataset([annotation(1, 10, 3, (10, 10, 40, 40)), crowd])
    inside = [detection(10, 3, (100 + 20 * i, 100, 20, 20), 0.9) for i in range(3)]
    records = [*inside, detection(10, 3, (10, 10, 40, 40), 0.8)]
    assert score(data, records, 'coco', 'bbox').summary()['AP'] == pytest.approx(1.0)

  def test_coco_recall_at_1_10_100(self):
    boxes = [(10 + 45 * (i % 4), 10 + 60 * (i // 4), 40, 40) for i in range(12)]
    data = dataset([annotation(1 + i, 10, 3, box) for i, box in enumerate(boxes)])
    records = [detection(10, 3, box, 0.9 - 0.01 * i) for i, box in enumerate(boxes)]
    metrics = score(data, records, 'coco', 'bbox').summary()
    assert metrics['AR@1'] == pytest.approx(1 / 12)
    assert metrics['AR@10'] == pytest.approx(10 / 12)
    assert metrics['AR@100'] == pytest.approx(1.0)

  def test_no_detections_is_zero_and_no_objects_is_no_value(self):
    data = dataset([annotation(1, 10, 3, (10, 10, 40, 40))])
    metrics = score(data, [], 'lvis', 'segm').summary()
    assert metrics['AP'] == metrics['AR@300'] == metrics['APr'] == 0.0
    assert metrics['APf'] is None
    empty = score(dataset([]), [detection(10, 3, (10, 10, 40, 40), 0.9)], 'coco', 'bbox').summary()
    assert set(empty.values()) == {None}


def test_boxes_that_are_compared_in_parts_give_the_same(monkeypatch):
  data, records = synthetic(0)
  whole = score(data, records, 'lvis', 'bbox')
  monkeypatch.setattr('jaxdet.evaluation.average_precision.PART', 3)
  parts = score(data, records, 'lvis', 'bbox')
  assert len(parts.matched.label) > 9
  np.testing.assert_array_equal(parts.precision, whole.precision)


class TestObjectsWithoutMasks:
  """Boxes alone among objects with masks: regions that metrics of masks ignore."""

  BOXES = ((10, 10, 40, 40), (100, 100, 40, 40))

  def data(self, segmentation):
    return dataset(
      [annotation(1, 10, 3, self.BOXES[0]), annotation(2, 10, 3, self.BOXES[1], segmentation=segmentation)]
    )

  @pytest.mark.parametrize('segmentation', [[], None, [[100, 100, 140, 140]]])
  @pytest.mark.parametrize('protocol', ['lvis', 'coco'])
  def test_they_count_neither_as_found_nor_as_missed(self, protocol, segmentation):
    records = [detection(10, 3, self.BOXES[0], 0.5)]
    scores = score(self.data(segmentation), records, protocol, 'segm')
    assert scores.summary()['AP'] == pytest.approx(1.0) and scores.matched.num_objects.tolist() == [1, 0, 0]
    # Detections in the region, with a better score than the other's, are no mistakes; those elsewhere are.
    records += [detection(10, 3, (100, 100, 40, 30), 0.9), detection(10, 3, (110, 105, 20, 30), 0.8)]
    assert score(self.data(segmentation), records, protocol, 'segm').summary()['AP'] == pytest.approx(1.0)
    records += [detection(10, 3, (10, 100, 40, 30), 0.9)]
    assert score(self.data(segmentation), records, protocol, 'segm').summary()['AP'] == pytest.approx(0.5)

  def test_as_boxes_they_are_objects_as_others(self):
    scores = score(self.data([]), [detection(10, 3, box, 0.9) for box in self.BOXES], 'coco', 'bbox')
    assert scores.summary()['AP'] == pytest.approx(1.0) and scores.matched.num_objects[0] == 2

  def test_a_file_without_any_mask_has_no_metrics_of_masks(self):
    data = dataset([annotation(1, 10, 3, self.BOXES[0], segmentation=[])])
    with pytest.raises(ValueError, match=r"synthetic has no object with a mask: set eval.iou_types to \('bbox',\)"):
      score(data, [detection(10, 3, self.BOXES[0], 0.9)], 'coco', 'segm')

  def test_the_report_says_how_many(self):
    truth = ground_truth(self.data([]), 'val.json')
    assert only_boxes(truth, ('bbox', 'segm')) == [
      '1 of 2 objects have a box and no mask: metrics of masks ignore their regions'
    ]
    assert only_boxes(truth, ('bbox',)) == []


class TestMessages:
  def test_a_coco_file_cannot_be_scored_by_the_lvis_protocol(self):
    data = dataset([annotation(1, 10, 3, (10, 10, 40, 40))])
    del data['images'][0]['neg_category_ids']
    with pytest.raises(ValueError, match="neg_category_ids.*set eval.protocol to 'coco'"):
      score(data, [], 'lvis', 'bbox')

  def test_a_score_that_is_not_a_number_names_its_image(self):
    data = dataset([annotation(1, 10, 3, (10, 10, 40, 40))])
    with pytest.raises(ValueError, match='result of image 10 has score nan: expected a finite number'):
      score(data, [detection(10, 3, (0, 0, 9, 9), float('nan'))], 'lvis', 'bbox')

  def test_results_without_masks_have_no_segm(self):
    data = dataset([annotation(1, 10, 3, (10, 10, 40, 40))])
    record = detection(10, 3, (0, 0, 9, 9), 0.5)
    del record['segmentation']
    with pytest.raises(ValueError, match='without a segmentation'):
      score(data, [record], 'lvis', 'segm')


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
class TestAgainstTheOfficialPackages:
  def test_the_lvis_package(self, iou_type):
    assert len(recorded_inputs()) == 26
    for case, (data, records) in recorded_inputs().items():
      assert_same(score(data, records, 'lvis', iou_type), lvis_referee(case, iou_type))

  def test_pycocotools(self, iou_type):
    for data, records in recorded_inputs().values():
      assert_same(score(data, records, 'coco', iou_type), coco_referee(data, records, iou_type))


class TestOnRecordedReferences:
  @pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
  def test_lvis_v0_5(self, iou_type):
    folder = parity_kit.kit() / 'lvis_eval'
    with gzip.open(folder / 'detections.json.gz') as file:
      records = json.load(file)
    expected = json.loads((folder / 'results.json').read_text())[iou_type]
    truth = load_ground_truth(str(folder / 'lvis_val_100.json'))
    scores = average_precision(truth, read_detections(truth, records, PROTOCOLS['lvis']), PROTOCOLS['lvis'], iou_type)
    for name, value in scores.summary().items():
      assert value == pytest.approx(expected[name], abs=1e-12), name
    values = zip(*scores.per_category().values(), strict=True)
    per_category = {category.id: v for category, v in zip(truth.categories, values, strict=True)}
    recorded = {int(id): tuple(values) for id, values in expected['per_category [AP, AR]'].items()}
    assert {id for id, values in per_category.items() if values[0] is not None} == set(recorded)
    for id, values in recorded.items():
      assert per_category[id] == pytest.approx(values, abs=1e-12)
    curves = np.load(folder / f'{iou_type}_curves.npz')
    np.testing.assert_allclose(np.nan_to_num(scores.recall[..., 0], nan=-1), curves['recall'], atol=1e-6)
    assert curves['recall'].shape[-1] == len(AREAS)

  @pytest.mark.parametrize(
    ('case', 'protocol', 'iou_type'),
    [
      ('coco_bbox', 'coco', 'bbox'),
      ('coco_segm', 'coco', 'segm'),
      ('lvis100_v1ids_bbox', 'lvis', 'bbox'),
      ('lvis100_v1ids_segm', 'lvis', 'segm'),
      ('mini_lvis_val_bbox', 'lvis', 'bbox'),
      ('mini_lvis_val_segm', 'lvis', 'segm'),
    ],
  )
  def test_other_files(self, case, protocol, iou_type):
    folder = parity_kit.photos()
    expected = json.loads((folder / 'eval_refs' / 'expected.json').read_text())[case]
    path = folder / expected['gt']
    path = path if path.exists() else folder / 'eval_refs' / expected['gt']
    records = json.loads((folder / 'eval_refs' / expected['dt']).read_text())
    metrics = score(str(path), records, protocol, iou_type).summary()
    values = expected['stats'] if 'stats' in expected else list(expected['results'].values())
    mine = [-1 if value is None else value for value in metrics.values()]
    np.testing.assert_allclose(mine, values, rtol=0, atol=1e-12)
