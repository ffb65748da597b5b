import json
import pickle

import numpy as np
import pytest

from input_pipeline.class_counts import classes_of_images, count_classes, read_num_shots, write_num_shots
from jaxdet.annotations.ragged import Ragged


def test_counts_by_hand():
  labels = Ragged.from_lengths(np.array([2, 0, 2, 2, 0], np.int32), [3, 0, 2])
  counts = count_classes(labels, 4)
  assert counts.images.tolist() == [2, 0, 2, 0]
  assert counts.instances.tolist() == [2, 0, 3, 0]
  assert counts.num_images == 3
  images, classes = classes_of_images(labels, 4)
  assert list(zip(images.tolist(), classes.tolist(), strict=True)) == [(0, 0), (0, 2), (2, 0), (2, 2)]


@pytest.mark.parametrize('name', ['num_shots.json', 'num_shots.npy'])
def test_counts_come_back_from_a_file(tmp_path, name):
  path = str(tmp_path / name)
  write_num_shots(path, [2, 3, 9], np.array([70, 0, 5]))
  found = read_num_shots(path)
  assert found.dtype == np.int64 and found.tolist() == [70, 0, 5]


def test_the_files_are_what_disalign_reads(tmp_path):
  write_num_shots(str(tmp_path / 'a.json'), [2, 3, 9], np.array([70, 0, 5]))
  assert json.loads((tmp_path / 'a.json').read_text()) == [2, 70, 3, 0, 9, 5]
  write_num_shots(str(tmp_path / 'a.npy'), [2, 3, 9], np.array([70, 0, 5]))
  np.testing.assert_array_equal(np.load(tmp_path / 'a.npy'), [70, 0, 5])


@pytest.mark.parametrize(
  'content, message',
  [
    ('{"1": 3}', 'its top level is no list'),
    ('[[1, 3], [2, 4]]', 'no flat list'),
    ('[1, true]', 'no flat list'),
    ('[1, 3, 2]', '3 numbers are no pairs'),
    ('[5, 3, 5, 2]', 'twice: is it a list of counts alone'),
    ('[5, 3, 2, 2]', 'class id 5 stands before 2: counts must be in the order of the ids'),
    ('[1, -3]', 'whole numbers and not negative'),
    ('[1, 2.5]', 'whole numbers'),
    ('[]', 'not a list of numbers'),
    ('[1, 3', 'before its JSON does'),
    ('[' * 10**6, 'nested too deep'),
  ],
)
def test_a_list_of_another_form_is_refused(tmp_path, content, message):
  path = tmp_path / 'counts.json'
  path.write_text(content)
  with pytest.raises(ValueError, match=f'cannot read class counts from .*counts.json: .*{message}'):
    read_num_shots(str(path))


def test_an_array_of_another_form_is_refused(tmp_path):
  path = tmp_path / 'counts.npy'
  np.save(path, np.ones((2, 3)))
  with pytest.raises(ValueError, match=r'counts.npy: it holds an array of shape \(2, 3\)'):
    read_num_shots(str(path))
  np.save(path, np.array([1.0, np.nan]))
  with pytest.raises(ValueError, match='whole numbers'):
    read_num_shots(str(path))


def test_an_array_of_objects_is_not_unpickled(tmp_path):
  path = tmp_path / 'counts.npy'
  np.save(path, np.array([{}, 1], object), allow_pickle=True)
  with pytest.raises(ValueError, match='cannot read class counts'):
    read_num_shots(str(path))
  path.write_bytes(pickle.dumps([1, 2]))
  with pytest.raises(ValueError, match='cannot read class counts'):
    read_num_shots(str(path))


def test_files_that_are_not_there_or_of_another_kind_are_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='no file of class counts'):
    read_num_shots(str(tmp_path / 'none.json'))
  (tmp_path / 'counts.csv').write_text('1,2')
  with pytest.raises(ValueError, match="counts.csv: its name ends neither in '.json' nor in '.npy'"):
    read_num_shots(str(tmp_path / 'counts.csv'))
