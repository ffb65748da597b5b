"""The record format, and records read at random."""

import concurrent.futures
import multiprocessing
import pickle

import numpy as np
import pytest
from array_record.python import array_record_module

from input_pipeline import examples, records, tf_example
from input_pipeline.examples import Example
from input_pipeline.records import Index, Records
from jaxdet.annotations.objects import ImageAnnotations, Objects
from jaxdet.annotations.ragged import Ragged

FEATURES = {
  'bytes': [b'jpeg', b'', b'\x00\xff' * 200],
  'floats': np.array([0.5, -2.25, np.float32(1e-30), 3e38], np.float32),
  'ints': np.array([0, 1, 127, 128, 300, 2**40, 2**63 - 1, -1, -(2**63)], np.int64),
  'no_bytes': [],
  'no_floats': np.zeros(0, np.float32),
  'no_ints': np.zeros(0, np.int64),
}


def assert_features_equal(found, expected):
  assert found.keys() == expected.keys()
  for name, value in expected.items():
    if isinstance(value, list):
      assert found[name] == value
    else:
      assert found[name].dtype == value.dtype
      np.testing.assert_array_equal(found[name], value)


def test_features_survive_encoding():
  assert_features_equal(tf_example.decode(tf_example.encode(FEATURES)), FEATURES)


def test_tensorflow_reads_what_we_write_and_we_read_what_tensorflow_writes():
  tf = pytest.importorskip('tensorflow')
  theirs = tf.train.Example.FromString(tf_example.encode(FEATURES)).features.feature
  assert list(theirs['bytes'].bytes_list.value) == FEATURES['bytes']
  np.testing.assert_array_equal(np.float32(theirs['floats'].float_list.value), FEATURES['floats'])
  np.testing.assert_array_equal(np.array(theirs['ints'].int64_list.value), FEATURES['ints'])

  example = tf.train.Example()
  example.features.feature['bytes'].bytes_list.value.extend(FEATURES['bytes'])
  example.features.feature['floats'].float_list.value.extend(FEATURES['floats'])
  example.features.feature['ints'].int64_list.value.extend(FEATURES['ints'])
  expected = {name: FEATURES[name] for name in ('bytes', 'floats', 'ints')}
  assert_features_equal(tf_example.decode(example.SerializeToString()), expected)


def test_bytes_that_are_cut_off_are_an_error():
  record = tf_example.encode(FEATURES)
  for length in (1, 10, len(record) // 2, len(record) - 1):
    with pytest.raises(ValueError, match='cut off'):
      tf_example.decode(record[:length])


def test_arrays_without_a_place_in_the_format_are_an_error():
  with pytest.raises(TypeError, match='bool'):
    tf_example.encode({'valid': np.array([True])})


def an_example(image_id: int) -> Example:
  count = image_id % 4
  return Example(
    encoded=b'\xff\xd8' * image_id,
    image_id=image_id,
    height=480,
    width=640,
    file_name=f'träin/{image_id}.jpg',
    objects=Objects(
      labels=np.arange(count) + image_id,
      boxes=np.arange(4 * count, dtype=np.float32).reshape(count, 4),
      areas=np.full(count, 12.5, np.float32),
      crowds=np.arange(count) % 2,
      ignored=1 - np.arange(count) % 2,
      polygons_per_object=np.full(count, 2),
      polygon_lengths=np.tile([6, 8], count),
      polygon_points=np.arange(14 * count, dtype=np.float32),
      rle=[b'abc'] * count,
    ),
    image=ImageAnnotations(neg_labels=np.array([3, 1]), not_exhaustive_labels=np.zeros(0, np.int64)),
  )


@pytest.mark.parametrize('image_id', [1, 4])
def test_an_example_survives_serializing(image_id):
  expected, found = an_example(image_id), examples.parse(examples.serialize(an_example(image_id)))
  for field in ('encoded', 'image_id', 'height', 'width', 'file_name'):
    assert getattr(found, field) == getattr(expected, field)
  polygons = ('polygons_per_object', 'polygon_lengths', 'polygon_points')
  for field in ('labels', 'boxes', 'areas', 'crowds', 'ignored', *polygons):
    np.testing.assert_array_equal(getattr(found.objects, field), getattr(expected.objects, field))
  assert found.objects.rle == expected.objects.rle
  assert found.objects.boxes.shape == (image_id % 4, 4)
  np.testing.assert_array_equal(found.image.neg_labels, [3, 1])
  assert len(found.image.not_exhaustive_labels) == 0


def test_the_serialized_features_are_those_of_the_schema():
  assert tf_example.decode(examples.serialize(an_example(1))).keys() == examples.FEATURES.keys()
  with pytest.raises(ValueError, match=r"record without \['image/encoded'"):
    examples.parse(tf_example.encode({'a': [b'']}))


@pytest.fixture
def opened(tmp_path, monkeypatch) -> Records:
  """Ten images, four a shard; image i has id 100 + i."""
  monkeypatch.setattr(records, 'IMAGES_PER_SHARD', 4)
  folder = str(tmp_path)
  content = [an_example(100 + i) for i in range(10)]
  paths = records.shard_paths(folder, 'train', 10)
  for shard, path in enumerate(paths):
    writer = array_record_module.ArrayRecordWriter(path, 'group_size:1,uncompressed')
    for example in content[4 * shard : 4 * shard + 4]:
      writer.write(examples.serialize(example))
    writer.close()
  lengths = [len(e.objects.labels) for e in content]
  Index(
    image_ids=np.array([e.image_id for e in content]),
    image_sizes=np.tile(np.array([[480, 640]], np.int32), (10, 1)),
    file_names=tuple(e.file_name for e in content),
    labels=Ragged.from_lengths(np.concatenate([e.objects.labels for e in content]), lengths),
    crowds=Ragged.from_lengths(np.concatenate([e.objects.crowds for e in content]).astype(bool), lengths),
  ).save(records.index_path(folder, 'train'))
  category = {'id': 5, 'name': 'cow', 'frequency': 'r', 'image_count': 3}
  manifest = {'complete': True, 'categories': [category], 'counts': {'images': 10}, 'num_images': 10}
  records.save_manifest(folder, 'train', manifest)
  return Records.open(folder, 'train')


def ids(found: list[bytes]) -> list[int]:
  return [examples.parse(record).image_id for record in found]


def test_columns_are_there_without_reading_images(opened):
  assert len(opened) == 10
  np.testing.assert_array_equal(opened.image_ids, np.arange(100, 110))
  assert opened.image_sizes.shape == (10, 2) and opened.file_names[3] == 'träin/103.jpg'
  np.testing.assert_array_equal(opened.labels[2], [102, 103])
  np.testing.assert_array_equal(opened.crowds[2], [False, True])
  assert len(opened.labels[0]) == 0
  assert opened.categories[0].name == 'cow' and opened.counts['images'] == 10


def test_records_come_in_the_order_asked_for(opened):
  assert ids(opened.read([9, 0, 4, 3, 9])) == [109, 100, 104, 103, 109]
  assert ids(opened.read(np.array([7]))) == [107]
  assert opened.read([]) == []


def test_images_outside_the_split_are_an_error(opened):
  with pytest.raises(IndexError, match=r"images \[10, -1\] of split 'train', which has 10"):
    opened.read([3, 10, -1])


def test_threads_read_at_the_same_time(opened):
  asked = [[i % 10, (7 * i) % 10] for i in range(300)]
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    for indices, found in zip(asked, pool.map(opened.read, asked), strict=True):
      assert ids(found) == [100 + i for i in indices]


def test_records_can_be_sent_to_other_processes(opened):
  opened.read([0])
  assert ids(pickle.loads(pickle.dumps(opened)).read([5])) == [105]


def _read_in_child(opened, queue):
  queue.put(ids(opened.read([0, 8])))


def test_a_fork_reads_with_the_readers_it_inherited(opened):
  opened.read(range(10))
  context = multiprocessing.get_context('fork')
  queue = context.SimpleQueue()
  child = context.Process(target=_read_in_child, args=(opened, queue), daemon=True)
  child.start()
  child.join(20)
  assert child.exitcode == 0
  assert queue.get() == [100, 108]


def test_records_that_are_not_there_or_not_finished_are_an_error(tmp_path):
  with pytest.raises(records.RecordsNotFound, match="no complete records of split 'val'"):
    Records.open(str(tmp_path), 'val')
  records.save_manifest(str(tmp_path), 'val', {'complete': False})
  with pytest.raises(records.RecordsNotFound, match='prepare them first'):
    Records.open(str(tmp_path), 'val')


def test_rows_of_different_lengths():
  rows = Ragged.from_lengths(np.arange(5), [2, 0, 3])
  assert [rows[i].tolist() for i in range(3)] == [[0, 1], [], [2, 3, 4]]
  np.testing.assert_array_equal(rows.rows(), [0, 0, 2, 2, 2])
  with pytest.raises(IndexError):
    rows[3]
  with pytest.raises(ValueError, match='6 values altogether, but there are 5'):
    Ragged.from_lengths(np.arange(5), [2, 4])
