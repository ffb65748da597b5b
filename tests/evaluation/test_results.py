"""Detections become records of the results format, one file a process, joined without loss."""

import json

import numpy as np
import pytest
from pycocotools import mask as rle_codec

from jaxdet.evaluation import results
from jaxdet.evaluation.image_results import image_results, rescale
from jaxdet.evaluation.results import ResultsWriter, detections_of_image, merge, read_results, record_list
from jaxdet.structures import Batch, BoxMasks, Detections, ImageMasks, Objects


def batch_of(indices, image_size=(100, 200), original_size=(50, 100), valid=None):
  count = len(indices)
  return Batch(
    image=np.zeros((count, 128, 256, 3), np.uint8),
    image_size=np.tile(np.int32(image_size), (count, 1)),
    original_size=np.tile(np.int32(original_size), (count, 1)),
    index=np.int32(indices),
    valid=np.ones(count, bool) if valid is None else np.asarray(valid),
    objects=Objects(np.zeros((count, 1, 4), np.float32), np.zeros((count, 1), np.int32), np.zeros((count, 1), bool)),
  )


def detections_of(boxes, images=1, masks=None):
  boxes = np.tile(np.float32(boxes), (images, 1, 1))
  count = boxes.shape[1]
  return Detections(
    boxes=boxes,
    scores=np.tile(np.linspace(0.9, 0.5, count, dtype=np.float32), (images, 1)),
    labels=np.tile(np.arange(count, dtype=np.int32), (images, 1)),
    valid=np.ones((images, count), bool),
    masks=masks,
    incomplete=np.arange(images) == 0,
  )


def records_of(detections, category_ids):
  return image_results(*detections_of_image(batch_of([0]), detections, 0), 77, category_ids)


class TestRescale:
  def test_each_axis_has_its_own_scale_and_boxes_are_clipped(self):
    boxes = rescale(np.float32([[10, 10, 300, 90]]), np.int32([100, 200]), np.int32([50, 400]))
    np.testing.assert_allclose(boxes, [[20, 5, 400, 45]])
    assert boxes.dtype == np.float32


class TestImageResults:
  def test_boxes_are_xywh_in_pixels_of_the_file_under_the_files_category_ids(self):
    detections = detections_of([[20, 10, 60, 40], [0, 0, 200, 100]])
    first, second = records_of(detections, [3, 5])
    assert first == {'image_id': 77, 'category_id': 3, 'bbox': [10, 5, 20, 15], 'score': pytest.approx(0.9)}
    assert (second['category_id'], second['bbox']) == (5, [0, 0, 100, 50])

  def test_boxes_outside_the_image_and_rows_that_are_not_valid_are_dropped(self):
    detections = detections_of([[20, 10, 60, 40], [210, 10, 250, 40], [20, 10, 60, 40]])
    detections.valid[0, 2] = False
    assert len(records_of(detections, [3, 5, 7])) == 1

  def test_masks_fill_their_box(self):
    detections = detections_of([[20, 10, 60, 40]], masks=BoxMasks(np.ones((1, 1, 28, 28), np.float32)))
    (record,) = records_of(detections, [3])
    assert record['segmentation']['size'] == [50, 100]
    mask = rle_codec.decode(record['segmentation'])
    expected = np.zeros((50, 100))
    expected[5:20, 10:30] = 1
    np.testing.assert_array_equal(mask, expected)
    json.dumps(record)  # nothing of NumPy is left in it

  def test_masks_on_the_canvas_are_cropped_to_their_box(self):
    # Cells of 4 canvas pixels, 2 of the file; a box owns the cells that it touches and one around them.
    masks = ImageMasks(np.ones((1, 1, 32, 64), np.float32))
    (record,) = records_of(detections_of([[20, 12, 60, 40]], masks=masks), [3])
    expected = np.zeros((50, 100))
    expected[4:22, 8:32] = 1
    np.testing.assert_array_equal(rle_codec.decode(record['segmentation']), expected)


class TestWriterAndMerge:
  image_ids = np.asarray([11, 12, 13, 14, 15])

  def write(self, folder, process, indices, valid=None):
    path = str(folder / f'results.{process}.jsonl')
    with ResultsWriter(path, self.image_ids, [3, 5]) as writer:
      for start in range(0, len(indices), 2):
        some = indices[start : start + 2]
        writer.add(
          batch_of(some, valid=valid and valid[start : start + 2]), detections_of([[20, 10, 60, 40]], len(some))
        )
    return path, writer

  def test_every_valid_image_is_written_once_in_order(self, tmp_path):
    path, writer = self.write(tmp_path, 0, [0, 1, 2, 3, 4, 4], [True] * 5 + [False])
    lines = [json.loads(line) for line in open(path)]
    assert lines[::2] == [{'image_id': id, 'records': 1} for id in (11, 12, 13, 14, 15)]
    assert [record['image_id'] for record in lines[1::2]] == [11, 12, 13, 14, 15]
    assert (writer.images, writer.incomplete) == (5, 3)

  def test_processes_are_joined(self, tmp_path):
    parts = [self.write(tmp_path, 0, [0, 1, 2])[0], self.write(tmp_path, 1, [3, 4])[0]]
    merge(parts, self.image_ids, str(tmp_path / 'results.json'))
    records = json.loads((tmp_path / 'results.json').read_text())
    assert [record['image_id'] for record in records] == [11, 12, 13, 14, 15]
    assert list(read_results(str(tmp_path / 'results.json'))) == records

  def test_a_missing_image_is_an_error_that_names_it(self, tmp_path):
    parts = [self.write(tmp_path, 0, [0, 1, 4])[0]]
    with pytest.raises(ValueError, match=r'2 of 5 images were not evaluated, among them 13, 14'):
      merge(parts, self.image_ids, str(tmp_path / 'results.json'))

  def test_an_image_that_two_processes_evaluated_is_an_error(self, tmp_path):
    parts = [self.write(tmp_path, 0, [0, 1, 2])[0], self.write(tmp_path, 1, [2, 3, 4])[0]]
    with pytest.raises(ValueError, match=r'1 of 5 images were evaluated more than once, among them 13'):
      merge(parts, self.image_ids, str(tmp_path / 'results.json'))

  def test_an_error_in_a_worker_reaches_the_caller(self, tmp_path):
    with pytest.raises(IndexError):
      with ResultsWriter(str(tmp_path / 'results.0.jsonl'), self.image_ids, []) as writer:
        writer.add(batch_of([0]), detections_of([[20, 10, 60, 40]]))


class TestFiles:
  @pytest.mark.parametrize('records', [[], [{'image_id': 1}], [{'image_id': 1}, {'image_id': 2}]])
  def test_a_list_is_json_and_read_back(self, tmp_path, records):
    path = str(tmp_path / 'list.json')
    with record_list(path) as write:
      for record in records:
        write(record)
    assert json.load(open(path)) == records
    assert list(read_results(path)) == records

  @pytest.mark.parametrize('indent', [None, 0, 2])
  def test_other_layouts_are_read_too(self, tmp_path, indent):
    records = [{'image_id': 1, 'bbox': [1, 2, 3, 4]}, {'image_id': 2}]
    (tmp_path / 'list.json').write_text(json.dumps(records, indent=indent))
    assert list(read_results(str(tmp_path / 'list.json'))) == records

  @pytest.mark.parametrize('indent', [None, 0, 2])
  def test_the_records_of_some_images_are_read_alone(self, tmp_path, indent):
    records = [{'image_id': i // 2, 'score': i} for i in range(10)]
    (tmp_path / 'list.json').write_text(json.dumps(records, indent=indent))
    with record_list(str(tmp_path / 'lines.json')) as write:
      for record in records:
        write(record)
    for name in ('list.json', 'lines.json'):
      found = [record['score'] for record in read_results(str(tmp_path / name), {1, 4, 77})]
      assert found == [2, 3, 8, 9]

  def test_a_list_that_is_longer_than_a_part_is_read_whole(self, tmp_path, monkeypatch):
    monkeypatch.setattr(results, 'PART', 100)
    path = str(tmp_path / 'list.json')
    with record_list(path) as write:
      for i in range(50):
        write({'image_id': i})
    assert [record['image_id'] for record in read_results(path)] == list(range(50))

  def test_a_list_that_is_cut_off_is_refused(self, tmp_path):
    for text in ('[\n{"image_id": 1},\n{"image_id": 2},\n', '[\n{"image_id": 1},\n{"image'):
      (tmp_path / 'list.json').write_text(text)
      with pytest.raises(ValueError, match='list.json is'):
        list(read_results(str(tmp_path / 'list.json')))

  def test_a_file_that_is_no_list_is_refused(self, tmp_path):
    (tmp_path / 'list.json').write_text('{"images": []}')
    with pytest.raises(ValueError, match='its top level is no list'):
      list(read_results(str(tmp_path / 'list.json')))
