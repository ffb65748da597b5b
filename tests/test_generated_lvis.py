"""The annotations and detections of the benchmarks look like LVIS's, and both programs score them alike."""

import importlib.util

import numpy as np
import pytest
from pycocotools import mask as rle_codec

from scripts import bench_evaluation, generated_lvis


def test_there_are_as_many_objects_and_categories_as_in_lvis():
  content = generated_lvis.annotations(400)
  assert len(content['annotations']) / 400 == pytest.approx(12.35, rel=0.15)
  pairs = {(entry['image_id'], entry['category_id']) for entry in content['annotations']}
  assert len(pairs) / 400 == pytest.approx(2.8, abs=0.5)
  assert np.median([entry['area'] for entry in content['annotations']]) == pytest.approx(700, rel=0.15)
  groups = [category['frequency'] for category in content['categories']]
  assert (groups.count('r'), groups.count('c'), groups.count('f')) == (337, 461, 405)
  assert content == generated_lvis.annotations(400)


def test_a_fixed_number_of_objects_is_given_to_every_image():
  content = generated_lvis.annotations(5, objects=13)
  assert [entry['image_id'] for entry in content['annotations']] == [id for id in range(1, 6) for _ in range(13)]


def test_detections_lie_in_their_image_and_fill_their_boxes():
  content = generated_lvis.annotations(3)
  for image, records in zip(content['images'], generated_lvis.detections(content, 50), strict=True):
    assert 45 < len(records) <= 50
    for record in records:
      assert record['image_id'] == image['id']
      x, y, width, height = record['bbox']
      assert 0 <= x and 0 <= y and x + width <= 640.01 and y + height <= 480.01
      np.testing.assert_allclose(
        rle_codec.toBbox(record['segmentation']), record['bbox'], atol=2 + 0.03 * max(width, height)
      )


def test_the_lvis_package_gives_the_same_ap(tmp_path, monkeypatch):
  if not importlib.util.find_spec('lvis'):  # importing it whole would import OpenCV
    pytest.skip('the lvis package is not installed')
  monkeypatch.setattr(np, 'float', float, raising=False)
  files = str(tmp_path / 'annotations.json'), str(tmp_path / 'results.json')
  bench_evaluation.write_files(*files, generated=12, detections=40)
  for iou_type in ('bbox', 'segm'):
    ours, theirs = (bench_evaluation.measure(program, *files, iou_type) for program in ('jaxdet', 'lvis'))
    assert ours['results'] == theirs['results'] > 440
    assert ours['AP'] == pytest.approx(theirs['AP'], abs=1e-12)
    assert 0.1 < ours['AP'] < 0.9
