"""mmdetection's checkpoints name their classes, at different places in different versions."""

import numpy as np
import pytest

from jaxdet.convert.class_names import class_names

STATE = {'w': np.ones(1)}


@pytest.mark.parametrize(
  'content, names',
  [
    ({'state_dict': STATE, 'meta': {'CLASSES': ('cat', 'dog'), 'PALETTE': None}}, ('cat', 'dog')),
    ({'state_dict': STATE, 'meta': {'dataset_meta': {'classes': ['cat', 'dog']}}}, ('cat', 'dog')),
    ({'state_dict': STATE, 'meta': {'dataset_meta': {'CLASSES': ('cat', 'dog')}}}, ('cat', 'dog')),
    ({'state_dict': STATE, 'dataset_meta': {'classes': ('cat', 'dog')}}, ('cat', 'dog')),
    ({'state_dict': STATE, 'meta': {'CLASSES': 'cat'}}, ('cat',)),
    ({'state_dict': STATE, 'meta': {'CLASSES': None, 'epoch': 12}}, None),
    ({'state_dict': STATE, 'meta': {'CLASSES': ()}}, None),
    ({'state_dict': STATE, 'meta': None}, None),
    (STATE, None),
    ([STATE], None),
  ],
)
def test_where_the_names_are(content, names):
  assert class_names(content, 'w.pth') == names


def test_two_lists_must_agree():
  content = {'meta': {'CLASSES': ('cat', 'dog'), 'dataset_meta': {'classes': ('cat', 'dog')}}}
  assert class_names(content, 'w.pth') == ('cat', 'dog')
  content['meta']['dataset_meta'] = {'classes': ('dog', 'cat')}
  with pytest.raises(ValueError, match='w.pth has two lists of class names'):
    class_names(content, 'w.pth')


@pytest.mark.parametrize('names', [[1, 2], {'cat': 0}, 3, ['cat', None]])
def test_what_is_no_list_of_names(names):
  with pytest.raises(ValueError, match='w.pth: the class names of its meta data are no list of texts'):
    class_names({'meta': {'CLASSES': names}}, 'w.pth')
