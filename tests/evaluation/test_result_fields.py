"""Fields of results files: ids as text, numbers that are none, masks that do not cover their image."""

import gzip
import json

import numpy as np
import pytest
from metric_case import annotation, dataset, detection

from jaxdet.evaluation import result_table
from jaxdet.evaluation.ground_truth import ground_truth
from jaxdet.evaluation.results import read_results
from jaxdet.evaluation.selection import PROTOCOLS, read_for

BOX = (10, 10, 40, 40)


@pytest.fixture(scope='module')
def truth():
  return ground_truth(dataset([annotation(1, 10, 3, BOX)], images=2), 'val.json')


def read(truth, *records, protocol='coco'):
  return read_for(truth, records, PROTOCOLS[protocol], 'results.json')


def test_ids_as_text_and_integers_as_numbers_give_the_same_table(truth):
  plain = read(truth, detection(10, 3, [float(v) for v in BOX], 0.5))
  record = detection(10, 3, BOX, 0.5)
  for changes in ({}, {'image_id': '10', 'category_id': '3'}, {'image_id': 10.0}):
    table = read(truth, record | changes)
    for column in ('image_ids', 'category_ids', 'scores', 'boxes', 'mask_sizes'):
      np.testing.assert_array_equal(getattr(table, column), getattr(plain, column))
    assert table.masks == plain.masks


@pytest.mark.parametrize('size', [[200, 200], [100, 400]])
def test_masks_as_polygons_lists_and_text_are_the_same(truth, size):
  """Also of another size than their image, which the diagnosis reports."""
  pixels = size[0] * size[1]
  whole = {'size': size, 'counts': [0, pixels]}
  [packed] = read(truth, detection(10, 3, BOX, 0.5) | {'segmentation': whole}).masks
  again = {'size': size, 'counts': packed.decode()}
  assert read(truth, detection(10, 3, BOX, 0.5) | {'segmentation': again}).masks == [packed]
  polygon = [[0, 0, 200, 0, 200, 200, 0, 200]]
  if size == [200, 200]:
    assert read(truth, detection(10, 3, BOX, 0.5) | {'segmentation': polygon}).masks == [packed]


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'image_id': None}, 'has image_id null: expected an integer'),
    ({'image_id': 1.5}, 'of image 1.5 has image_id 1.5: expected an integer'),
    ({'category_id': True}, 'of image 10 has category_id true: expected an integer'),
    ({'category_id': 2**63}, 'has category_id 9223372036854775808: expected an integer'),
    ({'score': 'high'}, "has score 'high': expected a finite number"),
    ({'score': float('inf')}, 'has score inf: expected a finite number'),
    ({'bbox': [1, 2, 3]}, r'has bbox \[1, 2, 3\]: expected a list of x, y, width and height'),
    ({'bbox': [1.0, 2.0, float('nan'), 3.0]}, r'has bbox \[1.0, 2.0, nan, 3.0\]: expected a list of finite numbers'),
    ({'bbox': None, 'segmentation': None}, "has neither 'bbox' nor 'segmentation'"),
    ({'bbox': None, 'segmentation': []}, "has neither 'bbox' nor 'segmentation'"),
    ({'segmentation': 'x'}, "has segmentation 'x': expected"),
    ({'segmentation': {'size': [200, 200]}}, 'has segmentation .*: expected {"size": '),
    ({'segmentation': [[1, 2, 3, 4]]}, 'expected polygons of at least three points'),
    ({'segmentation': [[1, 2, 3, 4, 5, 1e9]]}, 'expected coordinates from -3000 to 3000'),
    ({'segmentation': {'size': [200, 200], 'counts': [5, 5]}}, 'counts that add up to 200 x 200 = 40000; .* to 10'),
    ({'segmentation': {'size': [200, 200], 'counts': '55'}}, 'counts that add up to 200 x 200 = 40000; .* to 10'),
    ({'segmentation': {'size': [200, 200], 'counts': "b'55'"}}, 'which have no character'),
    ({'segmentation': {'size': [200], 'counts': '55'}}, 'expected a list of height and width'),
  ],
)
@pytest.mark.parametrize('protocol', ['coco', 'lvis'])
def test_a_record_that_is_something_else_is_named(truth, changes, message, protocol):
  record = detection(10, 3, [float(v) for v in BOX], 0.5)
  with pytest.raises(ValueError, match=f'^results.json: result .*{message}'):
    read(truth, record, record | changes, protocol=protocol)


def test_all_records_with_problems_are_counted(truth):
  record = detection(10, 3, BOX, 0.5)
  with pytest.raises(ValueError, match=r'^results.json has 3 problems:\n  result of image at position 1 is 7'):
    read(truth, record, *(7, record | {'score': None}, record | {'segmentation': {'size': [1, 1], 'counts': '2'}}))


def test_masks_are_checked_over_all_parts(truth, monkeypatch):
  monkeypatch.setattr(result_table, 'PART', 3)
  good = detection(10, 3, [float(v) for v in BOX], 0.5)
  records = [good] * 10
  assert len(read(truth, *records).masks) == 10
  records[7] = good | {'segmentation': {'size': [200, 200], 'counts': good['segmentation']['counts'][:-1]}}
  with pytest.raises(ValueError, match='result of image 10 has segmentation'):
    read(truth, *records)


def test_results_may_be_packed_and_have_a_byte_order_mark(tmp_path):
  records = [{'image_id': 1}, {'image_id': 2}]
  for text in (json.dumps(records), '[\n{"image_id": 1},\n{"image_id": 2}\n]\n'):
    for content in (text.encode(), b'\xef\xbb\xbf' + text.encode(), gzip.compress(text.encode())):
      (tmp_path / 'results.json').write_bytes(content)
      assert list(read_results(str(tmp_path / 'results.json'))) == records


def test_results_that_are_no_text_are_refused_with_the_file(tmp_path):
  for content in (
    '[{"a": 1}]'.encode('utf-16'),
    b'[{"a": "\xe9"}]',
    b'[' * 10**6,
    b'[{"a": 1}',
    gzip.compress(b'[]')[:9],
  ):
    (tmp_path / 'results.json').write_bytes(content)
    with pytest.raises(ValueError, match='results.json'):
      list(read_results(str(tmp_path / 'results.json')))
