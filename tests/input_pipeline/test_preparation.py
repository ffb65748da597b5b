"""Preparing records: once, again, after an interruption, and with broken images."""

import json
import os
import pathlib

import numpy as np
import pytest

import annotation_files
from input_pipeline import examples, preparation, records
from input_pipeline.records import Records
from jaxdet.annotations import columns
from parity_kit import photos


@pytest.fixture
def source(tmp_path):
  """(annotation file, image root, records folder) of three images, one a shard."""
  content = annotation_files.lvis()
  path = annotation_files.write(tmp_path, content)
  return path, str(annotation_files.write_images(tmp_path, content)), str(tmp_path / 'records')


@pytest.fixture(autouse=True)
def small_shards(request, monkeypatch):
  if 'source' in request.fixturenames:
    monkeypatch.setattr(records, 'IMAGES_PER_SHARD', 1)


def prepare(source, split='train') -> Records:
  path, root, out = source
  return preparation.prepare(path, root, out, split, num_workers=2)


def test_records_hold_the_files_bytes_and_the_annotations(source):
  prepared = prepare(source)
  for i, example in enumerate(map(examples.parse, prepared.read(range(3)))):
    assert example.file_name == prepared.file_names[i]
    with open(os.path.join(source[1], example.file_name), 'rb') as f:
      assert example.encoded == f.read()
    assert example.image_id == prepared.image_ids[i]
    assert [example.height, example.width] == prepared.image_sizes[i].tolist()
    np.testing.assert_array_equal(example.objects.labels, prepared.labels[i])
  second = examples.parse(prepared.read([1])[0])
  assert second.file_name == 'images/train2017/000000000050.jpg'
  np.testing.assert_array_equal(second.objects.boxes, [[1, 2, 11, 22.5], [3, 3, 5, 5]])
  np.testing.assert_array_equal(second.image.not_exhaustive_labels, [1, 0])


def test_every_image_has_a_row_in_the_files_order(source):
  prepared = prepare(source)
  np.testing.assert_array_equal(prepared.image_ids, [70, 50, 60])
  assert [row.tolist() for row in map(prepared.labels.__getitem__, range(3))] == [[2], [1, 0], []]
  assert [category.name for category in prepared.categories] == ['ant', 'cow', 'zebra']
  assert prepared.counts['images_without_objects'] == 1


def test_finished_records_are_opened_as_they_are(source, monkeypatch):
  prepare(source)
  monkeypatch.setattr(columns, 'read', None)
  assert len(prepare(source)) == 3
  os.utime(source[0])  # another time, the same content
  assert len(prepare(source)) == 3


def test_a_folder_of_another_sources_records_is_refused(source):
  prepared = prepare(source)
  content = annotation_files.lvis()
  content['annotations'][0]['bbox'] = [1, 2, 10, 20.7]  # as long as before
  annotation_files.write(pathlib.Path(source[0]).parent, content)
  with pytest.raises(
    ValueError, match=r"records has records of split 'train' of another source \(other: the annotations"
  ):
    prepare(source)
  assert examples.parse(prepared.read([1])[0]).objects.boxes[0, 3] == np.float32(22.5)


def test_interrupted_work_goes_on_at_the_first_unfinished_shard(source, monkeypatch):
  serialize = examples.serialize

  def stop_at_the_third(example):
    if example.image_id == 60:
      raise KeyboardInterrupt
    return serialize(example)

  monkeypatch.setattr(examples, 'serialize', stop_at_the_third)
  with pytest.raises(KeyboardInterrupt):
    prepare(source)
  with pytest.raises(records.RecordsNotFound):
    Records.open(source[2], 'train')
  done = records.shard_paths(source[2], 'train', 3)[:2]
  before = [os.stat(path).st_mtime_ns for path in done]
  written = []
  monkeypatch.setattr(examples, 'serialize', lambda example: written.append(example.image_id) or serialize(example))
  prepared = prepare(source)
  assert written == [60]
  assert [os.stat(path).st_mtime_ns for path in done] == before
  assert [examples.parse(record).image_id for record in prepared.read(range(3))] == [70, 50, 60]


def test_a_shard_that_is_gone_is_made_again(source):
  prepare(source)
  os.remove(records.shard_paths(source[2], 'train', 3)[1])
  with pytest.raises(records.RecordsNotFound, match='lack .*00001-of-00003: prepare them again'):
    Records.open(source[2], 'train')
  assert examples.parse(prepare(source).read([1])[0]).image_id == 50


def test_all_broken_and_missing_images_are_reported_at_once(source):
  path, root, out = source
  os.remove(f'{root}/images/val2017/000000000070.jpg')
  for name in ('000000000050', '000000000060'):
    file = f'{root}/images/train2017/{name}.jpg'
    with open(file, 'rb') as f:
      content = f.read()
    with open(file, 'wb') as f:
      f.write(content[:-30])
  with pytest.raises(ValueError) as error:
    prepare(source)
  message = str(error.value)
  assert '3 images of' in message and 'train-problems.txt' in message
  assert 'val2017/000000000070.jpg: not found' in message
  assert 'images/train2017/000000000050.jpg: does not decode' in message
  with open(f'{out}/train-problems.txt') as f:
    assert len(f.readlines()) == 3
  assert not [name for name in os.listdir(out) if '.array_record-' in name]


def test_an_image_of_another_size_is_named_with_both_sizes(source):
  path, root, out = source
  content = annotation_files.lvis()
  content['images'][0]['width'] = 31
  with open(path, 'w') as f:
    json.dump(content, f)
  with pytest.raises(ValueError, match=r'000000000070\.jpg: is 20 x 30 pixels, annotated as 20 x 31'):
    prepare(source)


def test_the_message_shows_ten_problems_and_the_file_has_all(source):
  path, root, out = source
  content = annotation_files.lvis()
  content['images'] += [{**content['images'][0], 'id': 1000 + i, 'file_name': f'{i}.jpg'} for i in range(25)]
  with open(path, 'w') as f:
    json.dump(content, f)
  with pytest.raises(ValueError, match=r'(?s)25 images.*  9\.jpg: not found\n  \.\.\. and 15 more'):
    prepare(source)
  with open(f'{out}/train-problems.txt') as f:
    assert f.readlines()[24] == '24.jpg: not found\n'


def test_a_missing_annotation_file_is_an_error(source):
  with pytest.raises(FileNotFoundError, match='no annotation file .*none.json'):
    preparation.prepare('none.json', source[1], source[2], 'train')


@pytest.mark.parametrize(
  ('name', 'images', 'objects'),
  [
    ('mini_lvis/train.json', 343, 2945),
    ('mini_lvis/coco_instances_val.json.gz', 302, 2457),
    ('lvis_val_photos/val_v0.5.json', 12, 93),
  ],
)
def test_real_photographs(tmp_path, name, images, objects):
  path = photos() / name
  prepared = preparation.prepare(str(path), str(path.parent), str(tmp_path), 'train')
  assert (len(prepared), len(prepared.labels.values)) == (images, objects)
  chosen = np.random.default_rng(0).permutation(images)[:20]
  for i, record in zip(chosen.tolist(), prepared.read(chosen), strict=True):
    example = examples.parse(record)
    assert example.image_id == prepared.image_ids[i]
    assert example.encoded == (path.parent / example.file_name).read_bytes()
    np.testing.assert_array_equal(example.objects.labels, prepared.labels[i])
    np.testing.assert_array_equal(example.objects.crowds, prepared.crowds[i])
    # COCO rounds outward boxes and polygons alike, to a pixel or two.
    for box, polygons in zip(example.objects.boxes, example.objects.polygons(), strict=True):
      if polygons:
        points = np.concatenate(polygons)
        assert np.abs(np.concatenate([points.min(0), points.max(0)]) - box).max() < 20
