"""Annotation files of one run must give the same names to the same ids."""

import json

import pytest
from PIL import Image

from input_pipeline import dataset
from jaxdet.configuration import load_config

PETS = {1: 'cat', 2: 'dog'}


def write(folder, split, names=PETS):
  """An annotation file of one image with an object of the last category."""
  Image.new('RGB', (20, 20)).save(folder / 'a.png')
  content = {
    'images': [{'id': 1, 'file_name': 'a.png', 'height': 20, 'width': 20}],
    'annotations': [
      {'id': 1, 'image_id': 1, 'category_id': max(names), 'bbox': [1, 1, 8, 8], 'area': 64, 'iscrowd': 0}
    ],
    'categories': [{'id': id, 'name': name} for id, name in names.items()],
  }
  content['annotations'][0]['segmentation'] = [[1, 1, 9, 1, 9, 9, 1, 9]]
  (folder / f'{split}.json').write_text(json.dumps(content))


def build(folder, more=False, **data):
  config = load_config('configs/lvis_maskrcnn.py:mini').unlock()
  config.data.update(name='coco', dir=str(folder), train=('train.json',), val=('val.json',), **data)
  if more:
    config.data.more_sources.second = {'train': ('second.json',)}
  return dataset.build(config.lock())


@pytest.fixture
def folder(tmp_path):
  for split in ('train', 'val', 'second'):
    write(tmp_path, split)
  return tmp_path


def test_files_with_one_table_are_one_data_set(folder):
  assert [category.name for category in build(folder, more=True).categories] == ['cat', 'dog']


@pytest.mark.parametrize('split', ['train', 'val', 'second'])
@pytest.mark.parametrize(
  'names, message',
  [
    ({1: 'dog', 2: 'cat'}, "label 0 is '(cat|dog)' .id 1. in the first and '(cat|dog)' .id 1. in the second; 2 of 2"),
    ({1: 'cat', 2: 'hound'}, "label 1 is .*; 1 of 2 labels differ. .*set data.compare_categories='ids'"),
    ({1: 'cat', 3: 'dog'}, 'label 1 is .*give them the same ids'),
    ({1: 'cat', 2: 'dog', 3: 'bird'}, "label 2 is .*'bird' .id 3.*never the same"),
  ],
)
def test_another_table_is_refused(folder, split, names, message):
  write(folder, split, names)
  files = 'train.json and .*val.json' if split == 'train' else '(second|train).json and .*val.json'
  with pytest.raises(ValueError, match=f'{files} have different categories: {message}'):
    build(folder, more=split == 'second')


def test_other_names_can_be_accepted_and_other_ids_cannot(folder):
  write(folder, 'val', {1: 'cat', 2: 'hound'})
  assert [category.name for category in build(folder, compare_categories='ids').categories] == ['cat', 'dog']
  write(folder, 'val', {1: 'cat', 3: 'dog'})
  for by in ('ids', 'names'):
    with pytest.raises(ValueError, match='label 1 is'):
      build(folder, compare_categories=by)


def test_an_unknown_choice_is_refused_before_a_file_is_read(tmp_path):
  with pytest.raises(
    ValueError, match="unknown data.compare_categories 'id': choose 'ids_and_names', 'ids' or 'names'"
  ):
    build(tmp_path, compare_categories='id')


def test_a_source_has_no_comparison_of_its_own(folder):
  config = load_config('configs/lvis_maskrcnn.py:mini').unlock()
  config.data.update(dir=str(folder), more_sources={'second': {'train': ('second.json',), 'compare_categories': 'ids'}})
  with pytest.raises(ValueError, match='more_sources.second.compare_categories: that is for all sources'):
    dataset.build(config)
