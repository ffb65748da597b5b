"""A model and a data set must speak of the same categories."""

import dataclasses

import pytest
from ml_collections import config_dict

from jaxdet.training.categories import check_same_categories, placeholders, set_num_classes
from toy_detector import ToyDataset


def model(num_classes):
  config = config_dict.ConfigDict({'model': {'num_classes': config_dict.placeholder(int)}})
  config.model.num_classes = num_classes
  return config.lock()


def test_the_number_of_classes_is_that_of_the_annotations():
  config = model(None)
  set_num_classes(config, ToyDataset().categories)
  assert config.model.num_classes == 3
  set_num_classes(config, ToyDataset().categories)


def test_another_number_is_an_error():
  with pytest.raises(ValueError, match='num_classes is 80, and the annotation file has 3 categories'):
    set_num_classes(model(80), ToyDataset().categories)


def test_categories_are_compared_one_by_one():
  ours = ToyDataset().categories
  check_same_categories(ours, ours)
  renamed = (*ours[:2], dataclasses.replace(ours[2], name='cat'))
  with pytest.raises(ValueError, match=r"label 2 is 'brightness 2' \(id 3\) in the checkpoint, and 'cat'"):
    check_same_categories(ours, renamed)
  with pytest.raises(ValueError, match='knows 3 categories, the annotation file 2'):
    check_same_categories(ours, ours[:2])


def test_placeholders_mean_what_the_data_set_says():
  check_same_categories(placeholders(3), ToyDataset().categories)
  with pytest.raises(ValueError, match='knows 4 categories, the annotation file 3'):
    check_same_categories(placeholders(4), ToyDataset().categories)
  named = (*placeholders(2), ToyDataset().categories[2])
  with pytest.raises(ValueError, match="label 0 is 'class 0'"):
    check_same_categories(named, ToyDataset().categories)
