"""The counts of a data set, by hand, and the files they go into."""

import csv
import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from input_pipeline.class_counts import read_num_shots
from jaxdet.cli.jobs.counting import print_counts

OBJECTS = {  # labels by image
  70: [9, 9, 4],
  50: [4],
  60: [],
  40: [4],
}


@pytest.fixture
def config(tmp_path):
  """Four images; category 4 is in three of them, 9 in one, 2 in none."""
  frequencies = {9: 'r', 2: 'r', 4: 'f'}
  content = {
    'images': [{'id': id, 'height': 10, 'width': 10, 'file_name': f'{id}.jpg'} for id in OBJECTS],
    'annotations': [
      {'id': 10 * id + i, 'image_id': id, 'category_id': c, 'bbox': [1, 1, 3, 3], 'area': 9}
      for id, labels in OBJECTS.items()
      for i, c in enumerate(labels)
    ],
    'categories': [{'id': id, 'name': f'thing {id}', 'frequency': f} for id, f in frequencies.items()],
  }
  (tmp_path / 'train.json').write_text(json.dumps(content))
  sampler = {'name': 'repeat_factor', 'threshold': 0.5}
  data = {'name': 'lvis', 'dir': str(tmp_path), 'train': ('train.json',), 'more_sources': {}, 'sampler': sampler}
  return ConfigDict({'data': data})


def test_the_table_by_hand(config, capsys):
  print_counts(config)
  assert capsys.readouterr().out.splitlines() == [
    'category  group     images  instances  factor',
    'thing 2   rare           0          0    1.00',
    'thing 4   frequent       3          3    1.00',
    'thing 9   rare           1          2    1.41',  # sqrt(0.5 / (1 / 4))
    'rare: 2 categories, 1 of them without training images; 1 images with 2 objects',
    'frequent: 1 categories, 0 of them without training images; 3 images with 3 objects',
    'all: 3 categories, 1 of them without training images; 3 images with 5 objects',
    '4 images; an epoch of the sampler repeat_factor shows 4',  # 1.41 + 1 + 1 + 1
  ]


def test_other_sources_are_named_as_not_counted(config, capsys):
  config.data.more_sources = {'labelled': {'train': ('other.json',)}}
  print_counts(config)
  assert capsys.readouterr().out.splitlines()[-1] == 'of data.train alone, without data.more_sources: labelled'


def test_the_files(config, tmp_path):
  print_counts(config, str(tmp_path / 'new' / 'counts'))
  folder = tmp_path / 'new' / 'counts'
  with open(folder / 'counts.csv') as f:
    rows = list(csv.DictReader(f))
  assert [(row['id'], row['name'], row['images'], row['instances']) for row in rows] == [
    ('2', 'thing 2', '0', '0'),
    ('4', 'thing 4', '3', '3'),
    ('9', 'thing 9', '1', '2'),
  ]
  assert float(rows[2]['factor']) == pytest.approx(2**0.5)
  assert json.loads((folder / 'num_shots.json').read_text()) == [2, 0, 4, 3, 9, 2]
  for name in ('num_shots.json', 'num_shots.npy'):
    np.testing.assert_array_equal(read_num_shots(str(folder / name)), [0, 3, 2])


def test_what_cannot_be_counted_is_named(config):
  config.data.sampler.name = 'class_aware'
  with pytest.raises(ValueError, match="'class_aware': choose one of repeat_factor"):
    print_counts(config)
  config.data.sampler.name, config.data.train = 'uniform', ()
  with pytest.raises(ValueError, match='config.data.train is empty'):
    print_counts(config)
