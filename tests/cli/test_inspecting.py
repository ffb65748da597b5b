"""The command `inspect`: problems and statistics of files as people have them."""

import json

import numpy as np
import pytest
from PIL import Image

import annotation_files
from jaxdet.cli.jobs.inspecting import print_inspection


def block(capsys, path, images=None) -> tuple[int, list[str]]:
  """(exit status, lines) of `inspect --data PATH`."""
  status = 0
  try:
    print_inspection(str(path), images)
  except SystemExit as end:
    status = end.code
  return status, capsys.readouterr().out.splitlines()


@pytest.fixture
def lvis(tmp_path):
  """A data set of three images: annotations in a folder of their own, images in train2017/ and val2017/."""
  content = annotation_files.lvis()
  (tmp_path / 'annotations').mkdir()
  annotation_files.write(tmp_path / 'annotations', content)
  for image in content['images']:
    path = tmp_path / image['coco_url'].removeprefix('http://images.cocodataset.org/')
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((image['height'], image['width'], 3), np.uint8)).save(path)
  return tmp_path


def test_a_good_set(lvis, capsys):
  status, lines = block(capsys, lvis)
  assert status == 0
  assert lines[1:-1] == [
    f'  images       3, 1 without objects; below {lvis}',
    '  height       10 to 40 pixels',
    '  width        10 to 30 pixels',
    '  objects      3: 3 with a mask',
    '  per image    1.0, at most 2',
    '  sizes        100% below 32 x 32 pixels, 0% up to 96 x 96, 0% above',
    '  categories   3, 0 without objects',
    '  frequency    1 rare, 1 common, 1 frequent',
    '  objects of   ant 1, cow 1, zebra 1',
    '  problems     none',
  ]


def test_all_problems_are_told_at_once(lvis, capsys):
  content = annotation_files.lvis()
  content['annotations'][0]['category_id'] = 5
  content['annotations'][1]['bbox'] = [1, 2, None, 4]
  annotation_files.write(lvis / 'annotations', content)
  (lvis / 'train2017' / '000000000060.jpg').unlink()
  (lvis / 'val2017' / '000000000070.jpg').write_bytes(b'no picture')
  status, lines = block(capsys, lvis / 'annotations' / 'train.json')
  assert status == 1
  problems = lines[lines.index('  problems     4: training would refuse this file') + 1 : -1]
  assert ['annotation 1' in problems[0], 'annotation 2' in problems[1]] == [True, True]
  assert ['000000000060.jpg' in problems[2], '000000000070.jpg' in problems[3]] == [True, True]


def test_drops_are_counted(lvis, capsys):
  content = annotation_files.lvis()
  content['annotations'][0]['segmentation'] = [[1, 2, 11, 22]]
  content['annotations'][1]['bbox'] = [100, 100, 5, 5]
  annotation_files.write(lvis / 'annotations', content)
  status, lines = block(capsys, lvis)
  assert status == 0
  dropped = next(line for line in lines if line.startswith('  dropped'))
  assert '66.7% of the objects' in dropped
  assert 'dropped_objects_without_valid_polygon 1' in dropped and 'dropped_objects_outside_image 1' in dropped


def test_a_set_without_objects_is_refused(lvis, capsys):
  annotation_files.write(lvis / 'annotations', annotation_files.lvis() | {'annotations': []})
  status, lines = block(capsys, lvis)
  assert status == 1 and lines[-2].startswith('    no object to train on')


def test_other_json_of_a_folder_is_left_out_and_broken_files_are_not(lvis, capsys):
  (lvis / 'results.json').write_text('[]')
  (lvis / 'captions.json').write_text(json.dumps({'images': [], 'annotations': []}))
  (lvis / 'annotations' / 'val.json').write_text('{"images": [')
  status, lines = block(capsys, lvis)
  assert status == 1
  assert [line.split(':')[0] for line in lines if line.startswith('left out')] == ['left out'] * 2
  assert any('val.json' in line and line.startswith('training would refuse this') for line in lines)
  assert '  problems     none' in lines  # of train.json


def test_a_file_that_is_named_must_be_an_annotation_file(lvis, capsys):
  (lvis / 'results.json').write_text('[]')
  status, lines = block(capsys, lvis / 'results.json')
  assert status == 1 and lines[0].startswith('training would refuse this') and 'is a list' in lines[0]


def test_a_folder_without_annotation_files(tmp_path):
  with pytest.raises(FileNotFoundError, match='no annotation file in'):
    print_inspection(str(tmp_path))
  (tmp_path / 'results.json').write_text('[]')
  with pytest.raises(FileNotFoundError, match='1 JSON files are none of LVIS or COCO'):
    print_inspection(str(tmp_path))


def test_images_elsewhere(lvis, tmp_path_factory, capsys):
  elsewhere = tmp_path_factory.mktemp('elsewhere')
  for folder in ('train2017', 'val2017'):
    (lvis / folder).rename(elsewhere / folder)
  assert block(capsys, lvis)[0] == 1
  assert block(capsys, lvis, images=str(elsewhere))[0] == 0


def test_training_and_validation_are_compared(lvis, capsys):
  content = annotation_files.lvis()
  annotation_files.write(lvis / 'annotations', content, 'val.json')
  assert block(capsys, lvis)[0] == 0
  content['categories'][0]['name'] = 'horse'
  annotation_files.write(lvis / 'annotations', content, 'val.json')
  status, lines = block(capsys, lvis)
  assert status == 1
  assert "label 2 is 'zebra' (id 9) in the first and 'horse' (id 9) in the second" in lines[-2]
