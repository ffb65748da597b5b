"""Mistakes of a results file are named."""

import numpy as np
import pytest

from jaxdet.evaluation.diagnose import diagnose
from jaxdet.evaluation.ground_truth import ground_truth
from jaxdet.evaluation.selection import PROTOCOLS, read_for

IDS = (2, 4, 5, 6, 9, 12)


@pytest.fixture(scope='module')
def truth():
  random = np.random.default_rng(0)
  annotations = []
  for image in range(12):
    for _ in range(5):
      size = random.uniform(60, 200, 2)
      box = [*random.uniform(0, (640 - size[0], 480 - size[1])).tolist(), *size.tolist()]
      entry = {'id': len(annotations) + 1, 'image_id': image, 'category_id': int(random.choice(IDS)), 'bbox': box}
      annotations.append(entry | {'area': float(size.prod())})
  return ground_truth(
    {
      'images': [{'id': i, 'file_name': f'{i}.jpg', 'height': 480, 'width': 640} for i in range(12)],
      'categories': [{'id': id, 'name': str(id)} for id in IDS],
      'annotations': annotations,
    },
    'val.json',
  )


def results(truth, box=lambda box: box, label=lambda label: IDS[label], **fields):
  """The ground truth as detections, changed by a mistake."""
  return [
    {
      'image_id': int(truth.image_ids[image]),
      'category_id': int(label(k)),
      'bbox': [float(v) for v in box(b)],
      'score': 0.9,
      **fields,
    }
    for image, k, b in zip(truth.image, truth.label, truth.boxes, strict=True)
  ]


def findings(truth, records, bbox=0.0, protocol='lvis', **metrics):
  table = read_for(truth, records, PROTOCOLS['coco'])
  return diagnose(truth, table, {'bbox': {'AP': bbox}, **metrics}, 0.0001, PROTOCOLS[protocol])


@pytest.mark.parametrize(
  ('mistake', 'sentence'),
  [
    ({'box': lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]}, 'boxes look like (x1, y1, x2, y2)'),
    ({'box': lambda b: [b[0] + b[2] / 2, b[1] + b[3] / 2, b[2], b[3]]}, 'boxes look like (centre, size)'),
    ({'box': lambda b: [b[1], b[0], b[3], b[2]]}, 'x and y of boxes look exchanged'),
    ({'box': lambda b: b / [640, 480, 640, 480]}, 'fractions of the image'),
    ({'box': lambda b: b * 800 / 480}, 'the image resized to 800'),
    ({'label': lambda k: k}, 'positions in the category table, from 0'),
    ({'label': lambda k: k + 1}, 'positions in the category table, from 1'),
    ({'label': lambda k: IDS[k] - 1}, 'one too small'),
    ({'label': lambda k: IDS[k] + 1}, 'one too large'),
    ({'label': lambda k: IDS[k - 1]}, 'boxes fit and labels do not'),
  ],
)
def test_a_mistake_is_found_on_the_data(truth, mistake, sentence):
  *_, last = findings(truth, results(truth, **mistake))
  assert sentence in last
  assert last.endswith('100.0 so)')


def test_good_results_have_no_findings(truth):
  assert findings(truth, results(truth), bbox=100.0) == []


def test_boxes_anywhere_are_not_explained(truth):
  records = results(truth, box=lambda b: [600, 440, 3, 3])
  assert 'no usual mistake' in findings(truth, records)[-1]


def test_ids_that_the_file_does_not_list(truth):
  records = results(truth)
  records[0]['image_id'] = 999
  records[1]['category_id'] = records[2]['category_id'] = 77
  assert findings(truth, records, bbox=90.0) == [
    'the image_id of 1 of 60 results is not listed in val.json, such as 999',
    'the category_id of 2 of 60 results is not listed in val.json, such as 77',
  ]


def test_masks_of_another_size(truth):
  mask = {'size': [800, 1067], 'counts': [800 * 1067]}
  (finding,) = findings(truth, results(truth, segmentation=mask), bbox=90.0, segm={'AP': 0.0})
  assert finding == '60 masks differ in size from their image, such as 800 x 1067 on image 11 of 480 x 640'


def test_low_scores(truth):
  (finding,) = findings(truth, results(truth, score=0.003), bbox=50.0)
  assert finding == 'the best score of all results is 0.003: the detector is sure of nothing'


def test_a_file_without_objects():
  images = [{'id': 1, 'file_name': '1.jpg', 'height': 480, 'width': 640}]
  empty = ground_truth({'images': images, 'categories': [{'id': 1, 'name': 'ant'}], 'annotations': []}, 'val.json')
  assert findings(empty, []) == ['val.json has no objects: no metric has a value']


def crowded(truth, per_image, images=12):
  """So many results in each of the first images, and one less in the others."""
  result = [{'category_id': IDS[i % 6], 'bbox': [0.0, 0.0, 9.0, 9.0], 'score': 0.9} for i in range(per_image)]
  return [record | {'image_id': image} for image in range(12) for record in result[image >= images :]]


def test_images_of_other_splits_are_not_counted(truth):
  records = crowded(truth, 300) + [record | {'image_id': 999} for record in crowded(truth, 30)]
  finding, unknown = findings(truth, records, bbox=50.0, protocol='lvis_fixed')
  assert finding.startswith('12 of 12 images have exactly 300 results') and unknown.endswith('such as 999')


def test_results_limited_by_image_are_not_for_fixed_ap(truth):
  (finding,) = findings(truth, crowded(truth, 300), bbox=50.0, protocol='lvis_fixed')
  assert finding.startswith('12 of 12 images have exactly 300 results and none has more: they were limited by image')
  assert '6 of 6 categories have fewer than 10000' in finding and 'raise model.test.detections' in finding


@pytest.mark.parametrize(
  ('per_image', 'images', 'protocol'),
  [
    (300, 12, 'lvis'),  # whose rule it is
    (99, 12, 'lvis_fixed'),  # no program's limit
    (300, 1, 'lvis_fixed'),  # one image has the most by chance
    (6 * 900, 12, 'lvis_fixed'),  # 10,800 of each category: as many as are looked at
  ],
)
def test_no_limit_is_seen_where_none_matters(truth, per_image, images, protocol):
  assert findings(truth, crowded(truth, per_image, images), bbox=50.0, protocol=protocol) == []
