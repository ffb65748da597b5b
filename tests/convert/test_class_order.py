"""Classes of an imported file are found by name; without names the order must not be in doubt."""

import logging

import pytest

from jaxdet.convert.class_order import class_order
from jaxdet.structures import Category

# As listed in an annotation file: by id they are bird, cat, dog.
LISTED = (Category(7, 'dog'), Category(1, 'bird'), Category(3, 'cat'))
BY_ID = LISTED[1:] + LISTED[:1]


def order(names, listed=BY_ID, program='mmdet', chosen=None):
  return class_order('coco.pth', program, names, listed, 'val.json', chosen)


def test_classes_are_found_by_name(caplog):
  assert order(('bird', 'cat', 'dog')) == order(('bird', 'cat', 'dog'), LISTED) == [0, 1, 2]
  assert not caplog.records
  with caplog.at_level(logging.INFO, logger='absl'):
    assert order(('dog', 'bird', 'cat')) == [1, 2, 0]
  assert "coco.pth: classes are sorted by name: 'bird' is its class 1, and label 0 of val.json" in caplog.text


@pytest.mark.parametrize('program', ['detectron2', 'cvpods', 'torchvision', 'jaxdet'])
def test_other_programs_sort_by_id(program):
  assert order(None, LISTED, program) == [0, 1, 2]


def test_without_names_mmdetections_order_is_known_where_list_and_ids_agree(caplog):
  with caplog.at_level(logging.INFO, logger='absl'):
    assert order(None) == [0, 1, 2]
  assert 'coco.pth does not name its classes: they are taken to be in the order of val.json' in caplog.text
  with pytest.raises(ValueError) as error:
    order(None, LISTED)
  assert str(error.value) == (
    'coco.pth does not name its classes, and val.json lists its categories in another order than that of their ids: '
    "place 0 of the list is 'dog' (id 7), by id it is 'bird' (id 1); 3 of 3 places differ. Give --class_order listed "
    'if the model was trained with this list, as mmdetection counts, or --class_order ids'
  )


@pytest.mark.parametrize('chosen, expected', [('listed', [1, 2, 0]), ('ids', [0, 1, 2])])
def test_a_flag_decides(chosen, expected):
  for names in (None, ('dog', 'cat', 'bird'), ('something', 'else', 'again')):
    assert order(names, LISTED, chosen=chosen) == expected


@pytest.mark.parametrize(
  'names, message',
  [
    (('bird', 'Cat', 'Dog'), "class 1 is 'Cat' in the first, .*label 1 is 'cat' .id 3.; 2 of 3 names are not there"),
    (('bird', 'cat'), 'coco.pth names 2 classes, and val.json has 3, though the arrays fit'),
    (('bird', 'cat', 'cat'), "coco.pth has 2 classes named 'cat'"),
    (('bird', 'ca\u0301t', 'dog'), 'class 1 is'),
  ],
)
def test_names_that_do_not_fit(names, message):
  with pytest.raises(ValueError, match=message) as error:
    order(names)
  assert 'give --class_order listed or ids' in str(error.value) and '\n' not in str(error.value)


def test_names_of_the_annotation_file_must_be_unique_too():
  with pytest.raises(ValueError, match="val.json has 2 classes named 'cat'"):
    order(('bird', 'cat', 'dog'), (*BY_ID[:2], Category(7, 'cat')))


def test_names_cannot_be_asked_of_a_file_without_them():
  with pytest.raises(ValueError, match='coco.pth does not name its classes: give --class_order listed or ids'):
    order(None, chosen='names')
