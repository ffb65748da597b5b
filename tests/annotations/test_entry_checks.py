"""Fields of annotation files: what training and evaluation both read, and what both refuse with the same words."""

import json
import re

import numpy as np
import pytest
from pycocotools import mask as rle_codec

import annotation_files
from annotation_mutations import coco
from jaxdet.annotations import columns
from jaxdet.annotations.columns import examine
from jaxdet.evaluation.ground_truth import load_ground_truth, run_lengths

SIZE = [12, 10]  # of the images of `coco`
PACKED = rle_codec.frPyObjects({'size': SIZE, 'counts': [30, 5, 85]}, *SIZE)['counts'].decode()


def refused(path):
  """The message of both readers."""
  messages = []
  for read in (columns.read, load_ground_truth):
    with pytest.raises(ValueError) as error:
      read(path)
    messages.append(str(error.value))
  assert messages[0] == messages[1]
  return messages[0]


def changed(tmp_path, list_name, row, changes, content=None):
  content = content or annotation_files.lvis()
  content[list_name][row] |= changes
  return annotation_files.write(tmp_path, content)


def as_text(value):
  """The same content with all ids as text."""
  if isinstance(value, dict):
    return {
      key: [str(id) for id in inner]
      if key.endswith('category_ids')
      else str(inner)
      if key in ('id', 'image_id', 'category_id')
      else as_text(inner)
      for key, inner in value.items()
    }
  return [as_text(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize('part', ['images', 'annotations', 'categories', 'all'])
def test_ids_as_text_are_the_integers_that_they_spell(tmp_path, part):
  content = annotation_files.lvis()
  expected = annotation_files.write(tmp_path, content, 'numbers.json')
  spelt = as_text(content)
  path = annotation_files.write(tmp_path, content | (spelt if part == 'all' else {part: spelt[part]}))
  numbers, text = columns.read(expected), columns.read(path)
  assert numbers.categories == text.categories
  for column in ('image_ids', 'labels'):
    np.testing.assert_array_equal(getattr(numbers, column), getattr(text, column))
  np.testing.assert_array_equal(numbers.neg_labels.values, text.neg_labels.values)
  numbers, text = load_ground_truth(expected), load_ground_truth(path)
  for column in ('image_ids', 'annotation_ids', 'image', 'label', 'negative', 'not_exhaustive'):
    np.testing.assert_array_equal(getattr(numbers, column), getattr(text, column))


@pytest.mark.parametrize('id', [0, -3, 7.0, '7', '-3', '007', 2**63 - 1])
def test_ids_that_are_integers(tmp_path, id):
  path = changed(tmp_path, 'annotations', 0, {'id': id})
  assert load_ground_truth(path).annotation_ids[0] == int(id) and columns.read(path).counts['objects'] == 3


@pytest.mark.parametrize('id', [1.5, None, True, '', 'x', '7.0', ' 7', '+7', '٧', [7], {}, 2**63, 1e300])
@pytest.mark.parametrize(
  ('list_name', 'key'),
  [
    ('annotations', 'id'),
    ('annotations', 'image_id'),
    ('annotations', 'category_id'),
    ('images', 'id'),
    ('categories', 'id'),
  ],
)
def test_ids_that_are_none(tmp_path, list_name, key, id):
  assert ': expected an integer' in refused(changed(tmp_path, list_name, 1, {key: id}))
  content = annotation_files.lvis()
  content['images'][1]['neg_category_ids'] = [4, id]
  assert 'image 50 has neg_category_ids [4, ' in refused(annotation_files.write(tmp_path, content))


@pytest.mark.parametrize(
  ('list_name', 'changes', 'message'),
  [
    ('images', {'height': 0}, 'image 50 has height 0: expected a positive integer, in pixels'),
    ('images', {'width': 25.5}, 'image 50 has width 25.5: expected a positive integer'),
    ('images', {'width': None}, 'image 50 has width null: expected a positive integer'),
    ('images', {'height': 2**20, 'width': 2**20}, 'image 50 has height 1048576 and width 1048576: expected at most'),
    ('images', {'file_name': 7}, 'image 50 has file_name 7: expected text'),
    ('images', {'coco_url': None}, "image 50 has neither 'file_name' nor 'coco_url'"),
    ('images', {'neg_category_ids': 4}, 'image 50 has neg_category_ids 4: expected a list of integers'),
    ('images', {'pos_category_ids': [5]}, 'image 50 has category 5 in pos_category_ids, which is not in the table'),
    (
      'annotations',
      {'bbox': [1, 2, 3]},
      r'annotation 2 has bbox \[1, 2, 3\]: expected a list of x, y, width and height',
    ),
    (
      'annotations',
      {'bbox': [1, 2, '3', 4]},
      r"annotation 2 has bbox \[1, 2, '3', 4\]: expected a list of finite numb",
    ),
    (
      'annotations',
      {'bbox': [1, 2, float('nan'), 4]},
      r'annotation 2 has bbox \[1, 2, nan, 4\]: expected a list of fin',
    ),
    ('annotations', {'bbox': [1, 2, 10**400, 4]}, 'annotation 2 has bbox .*: expected a list of finite numbers'),
    ('annotations', {'bbox': [1, 2, 1e39, 4]}, 'annotation 2 has bbox .*: expected coordinates from -1300 to 1300'),
    ('annotations', {'bbox': None}, 'annotation 2 has bbox null'),
    ('annotations', {'area': float('inf')}, 'annotation 2 has area inf: expected a finite number'),
    ('annotations', {'area': -1}, r'annotation 2 has area -1: expected a number from 0 to 1e\+10'),
    ('annotations', {'area': True}, 'annotation 2 has area true: expected a finite number'),
    ('annotations', {'iscrowd': 2}, 'annotation 2 has iscrowd 2: expected 0 or 1'),
    ('annotations', {'ignore': 'yes'}, "annotation 2 has ignore 'yes': expected 0 or 1"),
    ('annotations', {'keypoints': [1, 2]}, r'annotation 2 has keypoints \[1, 2\]: expected a list of x, y and visibil'),
    ('annotations', {'keypoints': [1, float('nan'), 2]}, 'annotation 2 has keypoints .*: expected a list of finite'),
    ('annotations', {'segmentation': 'x'}, "annotation 2 has segmentation 'x': expected"),
    ('annotations', {'segmentation': [1, 2, 3, 4, 5, 6]}, 'annotation 2 has segmentation .*: expected a list of polyg'),
    (
      'annotations',
      {'segmentation': [[[1, 2], [3, 4], [5, 1]]]},
      'expected a list of polygons, each a list of numbers',
    ),
    ('annotations', {'segmentation': [[1, 2, 3, 4, 5, 6, 7]]}, 'expected an even number of coordinates .*; one has 7'),
    (
      'annotations',
      {'segmentation': [[1, 2, 3, 4, 5, float('nan')]]},
      'segmentation .*: expected a list of finite numb',
    ),
    ('annotations', {'segmentation': [[1, 2, 3, 4, 5, 1e7]]}, 'expected coordinates from .*; one is 10000000.0'),
    ('annotations', {'segmentation': [[1, 2, 3, 4, 5, -1e9]]}, 'expected coordinates from .*; one is -1000000000.0'),
    ('annotations', {'segmentation': [[1, 2, 3, 4, 5, True]]}, 'expected a list of polygons'),
    ('categories', {'name': None}, 'category 2 has name null: expected text'),
    ('categories', {'name': '\ud800'}, r"category 2 has name '\\ud800': expected text"),
  ],
)
def test_a_field_that_is_something_else_is_named_with_its_entry_and_value(tmp_path, list_name, changes, message):
  assert re.search(message, refused(changed(tmp_path, list_name, 1, changes)))


@pytest.mark.parametrize(
  ('counts', 'message'),
  [
    ([30, 5], 'expected counts that add up to 12 x 10 = 120; these add up to 35'),
    ([30, 5, 90], 'these add up to 125'),
    ([], 'these add up to 0'),
    ([30, -5, 95], 'expected an integer from 0'),
    ([30, 5.5, 84.5], 'expected an integer from 0'),
    (PACKED[:-1], 'these'),
    (PACKED + '5', 'these add up to'),
    (PACKED[:-1] + 'o', 'these are cut off'),
    ('', 'these add up to 0'),
    (f"b'{PACKED}'", 'which have no character'),
    ('P' * 14 + '0', r'expected counts below 2\*\*29'),
    ('Ω', 'expected counts as a list or as compressed text'),
    (None, 'expected counts as a list or as compressed text'),
  ],
)
def test_run_lengths_that_do_not_cover_their_image_are_refused(tmp_path, counts, message):
  path = changed(tmp_path, 'annotations', 2, {'segmentation': {'size': SIZE, 'counts': counts}}, coco())
  assert re.search(f'annotation 2 has segmentation .*{message}', refused(path))


@pytest.mark.parametrize('size', [[10, 12], [12, 10, 1], [0, 10], 'x', None, [2**20, 2**20]])
def test_run_lengths_of_another_size_are_refused(tmp_path, size):
  path = changed(tmp_path, 'annotations', 2, {'segmentation': {'size': size, 'counts': [30, 5, 85]}}, coco())
  assert 'annotation 2 has ' in refused(path)


def test_run_lengths_as_a_list_and_as_text_are_the_same_mask(tmp_path):
  path = annotation_files.write(tmp_path, coco())
  split, truth = columns.read(path), load_ground_truth(path)
  assert split.rle == {2: PACKED.encode(), 3: PACKED.encode()}
  masks = [rle_codec.decode(run_lengths(truth.segmentations[i], *SIZE)) for i in (2, 3)]
  assert (masks[0] == masks[1]).all() and masks[0].sum() == 5


def test_polygons_and_boxes_alone_go_into_one_file(tmp_path):
  path = annotation_files.write(tmp_path, coco())
  split, truth = columns.read(path), load_ground_truth(path)
  assert split.counts['objects'] == 4 and split.counts['objects_without_mask'] == 1
  assert truth.has_mask.tolist() == [True, False, True, True]


def test_an_object_whose_polygons_are_too_short_has_only_a_box_in_evaluation(tmp_path):
  path = changed(tmp_path, 'annotations', 1, {'segmentation': [[1, 2, 3, 4], [1, 2]]})
  assert columns.read(path).counts['dropped_objects_without_valid_polygon'] == 1
  truth = load_ground_truth(path)
  assert truth.segmentations[1] is None and truth.boxes[1].tolist() == [0.5, 0.5, 4, 4]


@pytest.mark.parametrize('key', ['iscrowd', 'ignore', 'segmentation', 'keypoints'])
def test_an_optional_field_that_is_null_is_as_if_it_were_absent(tmp_path, key):
  path = changed(tmp_path, 'annotations', 1, {key: None})
  assert columns.read(path).counts['objects'] == 3
  truth = load_ground_truth(path)
  assert not truth.crowd.any() and not truth.ignore.any()


@pytest.mark.parametrize('flag', [1, True, 1.0, '1'])
def test_crowds_are_marked_by_one_or_true(tmp_path, flag):
  path = changed(tmp_path, 'annotations', 1, {'iscrowd': flag})
  assert columns.read(path).counts['crowds'] == 1 and load_ground_truth(path).crowd.tolist() == [False, True, False]


def test_the_numbers_of_evaluation_are_the_files_own(tmp_path):
  box, polygon = [0.1, 0.7, 4.3, 1 / 3], [0.1, 0.7, 4.3, 1 / 3, 2.2, 5]
  path = changed(tmp_path, 'annotations', 1, {'bbox': box, 'area': 0.1, 'segmentation': [polygon]})
  truth = load_ground_truth(path)
  assert truth.boxes[1].tolist() == box and truth.areas[1] == 0.1 and truth.segmentations[1][0].tolist() == polygon


def test_annotation_ids_used_twice_or_missing_are_refused(tmp_path):
  assert refused(changed(tmp_path, 'annotations', 1, {'id': 1})).endswith(
    'annotation id 1 is defined 2 times: ids must be unique'
  )
  content = annotation_files.lvis()
  del content['annotations'][1]['id']
  assert "annotation at position 1 has no 'id'" in refused(annotation_files.write(tmp_path, content))


@pytest.mark.parametrize('entry', [None, 7, 'x', [], [{}]])
@pytest.mark.parametrize('list_name', ['images', 'annotations', 'categories'])
def test_entries_that_are_no_objects_are_named_by_position(tmp_path, list_name, entry):
  content = annotation_files.lvis()
  content[list_name].append(entry)
  assert 'at position 3 is ' in refused(annotation_files.write(tmp_path, content))


def test_a_key_that_stands_twice_in_an_entry_is_refused(tmp_path):
  path = tmp_path / 'twice.json'
  path.write_text(json.dumps(annotation_files.lvis()).replace('"area": 16', '"area": 16, "area": 17'))
  assert refused(str(path)).endswith("annotation 2 has 'area' twice: remove one")


def test_all_problems_are_told_at_once_and_counted(tmp_path):
  content = annotation_files.lvis()
  content['images'][0]['height'] = None
  content['annotations'][0] |= {'bbox': None, 'area': 'large'}
  content['categories'][1]['name'] = ''
  assert refused(annotation_files.write(tmp_path, content)).splitlines() == [
    f'{tmp_path}/train.json has 4 problems:',
    '  image 70 has height null: expected a positive integer, in pixels;',
    "  category 2 has name '': expected text of at least one character;",
    '  annotation 1 has bbox null: expected a list of finite numbers;',
    "  annotation 1 has area 'large': expected a finite number",
  ]


def test_of_many_problems_twenty_are_shown(tmp_path):
  content = coco()
  content['annotations'] = [content['annotations'][0] | {'id': i, 'area': None} for i in range(300)]
  lines = refused(annotation_files.write(tmp_path, content)).splitlines()
  assert lines[0].endswith('has 300 problems; the first 20:') and len(lines) == 21


def test_good_entries_are_examined_beside_those_with_problems(tmp_path):
  found, problems = examine(changed(tmp_path, 'annotations', 1, {'area': None}))
  assert found.counts['objects'] == 2 and problems.count == 1
  assert problems.lines == ['annotation 2 has area null: expected a finite number']
