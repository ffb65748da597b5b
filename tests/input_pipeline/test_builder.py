"""Prepared folders read through TFDS, which is an optional package."""

import importlib
import json
import sys

import numpy as np
import pytest

import annotation_files
from input_pipeline import examples, preparation, records
from input_pipeline.records import Records


@pytest.fixture
def tfds():
  return pytest.importorskip('tensorflow_datasets')


@pytest.fixture
def source(tmp_path, monkeypatch):
  """(annotation file, image root) of three images, two a shard."""
  monkeypatch.setattr(records, 'IMAGES_PER_SHARD', 2)
  content = annotation_files.lvis()
  return annotation_files.write(tmp_path, content), str(annotation_files.write_images(tmp_path, content))


def assert_same(row: dict, record: bytes):
  """What TFDS reads is what the record holds."""
  example = examples.parse(record)
  assert row['image']['encoded'] == example.encoded
  assert row['image']['file_name'] == example.file_name.encode()
  assert (row['image']['id'], row['image']['height'], row['image']['width']) == (
    example.image_id,
    example.height,
    example.width,
  )
  objects = row['objects']
  for name, value in (
    ('label', example.objects.labels),
    ('bbox', example.objects.boxes),
    ('area', example.objects.areas),
    ('crowd', example.objects.crowds),
    ('polygons_per_object', example.objects.polygons_per_object),
    ('polygon_lengths', example.objects.polygon_lengths),
    ('polygon_points', example.objects.polygon_points),
  ):
    np.testing.assert_array_equal(objects[name], value)
    assert objects[name].shape == value.shape and objects[name].dtype == value.dtype
  assert list(objects['rle']) == example.objects.rle
  np.testing.assert_array_equal(row['neg_labels'], example.image.neg_labels)
  np.testing.assert_array_equal(row['not_exhaustive_labels'], example.image.not_exhaustive_labels)


def test_tfds_reads_a_folder_of_records(tfds, source, tmp_path):
  path, root = source
  folder = str(tmp_path / 'records')
  train = preparation.prepare(path, root, folder, 'train')
  val = preparation.prepare(path, root, folder, 'val')
  found = tfds.builder_from_directory(folder)
  assert {name: split.num_examples for name, split in found.info.splits.items()} == {'train': 3, 'val': 3}
  assert found.info.splits['train'].shard_lengths == [2, 1]
  for prepared, rows in ((train, found.as_data_source('train')), (val, found.as_data_source('val'))):
    assert len(rows) == 3
    for i in (2, 0, 1):
      assert_same(rows[i], prepared.read([i])[0])


def test_the_metadata_are_those_that_tfds_writes(tfds, source, tmp_path):
  path, root = source
  folder, written = tmp_path / 'records', tmp_path / 'written'
  preparation.prepare(path, root, str(folder), 'train')
  written.mkdir()
  tfds.builder_from_directory(folder).info.write_to_directory(written)
  for name in ('dataset_info.json', 'features.json'):
    ours, theirs = (json.loads((place / name).read_text()) for place in (folder, written))
    assert theirs | ours == theirs  # which also names the class that read it


def test_the_builder_prepares_what_it_reads(tfds, source, tmp_path):
  from input_pipeline import builder

  path, root = source
  detection = builder.Detection(annotations={'val': path}, image_root=root, data_dir=str(tmp_path / 'tfds'))
  detection.download_and_prepare()
  rows = detection.as_data_source('val')
  prepared = Records.open(str(detection.data_dir), 'val')
  assert len(rows) == len(prepared) == 3
  for i in range(3):
    assert_same(rows[i], prepared.read([i])[0])
  again = tfds.builder_from_directory(detection.data_dir).as_data_source('val')
  assert again[1]['image']['id'] == 50


def test_the_builder_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
  monkeypatch.delitem(sys.modules, 'input_pipeline.builder', raising=False)
  with pytest.raises(ImportError, match=r"pip install 'jaxdet\[tfds\]'"):
    importlib.import_module('input_pipeline.builder')
