"""The category table of an annotation file: in order of ids, and what is wrong with it."""

import pytest

import annotation_files
import voc_case
from jaxdet.annotations.categories import read_categories
from jaxdet.structures import Category


def read(tmp_path, *entries):
  return read_categories(annotation_files.write(tmp_path, annotation_files.lvis() | {'categories': list(entries)}))


def test_categories_are_sorted_by_id_with_what_lvis_says_of_them(tmp_path):
  found = read(tmp_path, {'id': 9, 'name': 'zebra', 'frequency': 'f', 'image_count': 500}, {'id': 2, 'name': 'ant'})
  assert found == (Category(2, 'ant'), Category(9, 'zebra', 'f', 500))


def test_those_of_voc_need_no_file(tmp_path):
  voc_case.write_split(tmp_path, 'VOC2007', 'test', {})
  assert [category.name for category in read_categories(f'{tmp_path}/VOC2007/test')][:2] == ['aeroplane', 'bicycle']


@pytest.mark.parametrize(
  ('entries', 'error'),
  [
    ([], 'has no categories'),
    ([{'id': 1, 'name': 'a'}, {'id': 1, 'name': 'b'}], 'category id 1 is defined twice'),
    ([{'id': 3}], "train.json: category 3 has no 'name'"),
    ([{'name': 'ant'}], "category at position 0 has no 'id'"),
    ([{'id': 1.5, 'name': 'a'}], 'category 1.5 has id 1.5: expected an integer'),
    ([{'id': 3, 'name': 7}], 'category 3 has name 7: expected text of at least one character'),
    (
      [{'id': 3, 'name': 'a', 'frequency': 'rare'}],
      "category 3 has frequency 'rare': expected one of 'r', 'c' and 'f'",
    ),
    ([{'id': 3, 'name': 'a', 'image_count': -1}], 'category 3 has image_count -1: expected an integer from 0'),
  ],
)
def test_a_table_that_contradicts_itself_is_named(tmp_path, entries, error):
  with pytest.raises(ValueError, match=error):
    read(tmp_path, *entries)
