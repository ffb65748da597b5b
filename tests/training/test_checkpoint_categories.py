"""A checkpoint and a data set must speak of the same categories."""

import dataclasses
import logging

import pytest
from ml_collections import config_dict

from jaxdet.annotations.same_categories import Table
from jaxdet.training.categories import check_checkpoint_categories, placeholders, set_num_classes
from jaxdet.training.checkpoint import Metadata
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


def check(of_checkpoint, of_dataset, by='ids_and_names'):
  check_checkpoint_categories(Table(of_checkpoint, 'runs/a'), Table(of_dataset, 'val.json'), by)


def test_categories_are_compared_one_by_one():
  ours = ToyDataset().categories
  check(ours, ours)
  renamed = (*ours[:2], dataclasses.replace(ours[2], name='cat'))
  with pytest.raises(ValueError, match=r"runs/a and val.json have .*label 2 is 'brightness 2' \(id 3\) .* and 'cat'"):
    check(ours, renamed)
  check(ours, renamed, 'ids')
  with pytest.raises(ValueError, match='3 categories are never the same as 2'):
    check(ours, ours[:2])


def test_a_checkpoint_needs_no_ids():
  ours = ToyDataset().categories
  renumbered = tuple(dataclasses.replace(category, id=7 + category.id) for category in ours)
  with pytest.raises(ValueError, match="if only the ids changed, set data.compare_categories='names'"):
    check(ours, renumbered)
  check(ours, renumbered, 'names')


def test_placeholders_mean_what_the_data_set_says_and_the_log_says_so(caplog):
  with caplog.at_level(logging.WARNING, logger='absl'):
    check(placeholders(3), ToyDataset().categories)
  assert 'runs/a does not know its categories: its labels are taken for those of val.json' in caplog.text
  with pytest.raises(ValueError, match='4 categories are never the same as 3'):
    check(placeholders(4), ToyDataset().categories)
  named = (*placeholders(2), ToyDataset().categories[2])
  with pytest.raises(ValueError, match="label 0 is 'class 0'"):
    check(named, ToyDataset().categories)


def test_a_checkpoint_without_a_table_has_placeholders():
  config = {'model': {'num_classes': 3, 'frozen': ()}}
  read = Metadata.from_json({'config': config, 'version': '0.1.0', 'metrics': {}})
  assert read.categories == placeholders(3)
