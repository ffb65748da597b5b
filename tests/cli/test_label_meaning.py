"""Training takes weights of classes only from a checkpoint whose labels mean the same."""

import dataclasses

import numpy as np
import pytest

from jaxdet.annotations.same_categories import Table
from jaxdet.cli.jobs import training
from jaxdet.cli.jobs.training import check_resume, check_start
from jaxdet.models.build import build_detector
from jaxdet.structures import Category
from jaxdet.training.checkpoint import Checkpoints, Metadata
from small_detector import CLASSES, small_config

CATEGORIES = tuple(Category(i + 1, f'thing {i}') for i in range(CLASSES))
RENAMED = (*CATEGORIES[:3], dataclasses.replace(CATEGORIES[3], name='another'), CATEGORIES[4])
KNOWN = Table(CATEGORIES, 'val.json')
LAYERS = ('params/box_head/logits', 'params/box_head/deltas', 'params/mask_head/logits')


def new_config(**train):
  config = small_config().copy_and_resolve_references()
  config.model.num_classes = CLASSES
  config.train.update(train)
  return config


def saved(folder, categories, name='checkpoints') -> str:
  """A workdir with a checkpoint of these categories."""
  checkpoints = Checkpoints(str(folder / name), keep=1)
  checkpoints.save_variables({'params': {'w': np.ones(1)}}, Metadata(new_config().lock(), categories))
  checkpoints.close()
  return str(folder)


@pytest.fixture
def class_arrays(monkeypatch):
  """Arrays with classes of the small detector, without tracing it."""
  paths = {f'{layer}/{array}': 1 for layer in LAYERS for array in ('kernel', 'bias')}
  monkeypatch.setattr(training, 'class_arrays', lambda model: paths)


def start(config, known=KNOWN, **how):
  check_start(config, build_detector(config.model, CLASSES), known, **how)


def test_a_run_goes_on_with_its_own_categories_alone(tmp_path):
  assert not check_resume(new_config(), str(tmp_path), KNOWN)
  assert check_resume(new_config(), saved(tmp_path, CATEGORIES), KNOWN)
  other = saved(tmp_path / 'other', RENAMED)
  with pytest.raises(ValueError, match=r"other/checkpoints and val.json .*label 3 is 'another' .id 4.*another workdir"):
    check_resume(new_config(), other, KNOWN)
  config = new_config()
  config.data.compare_categories = 'ids'
  assert check_resume(config, other, KNOWN)


def test_a_run_with_another_number_of_categories_does_not_go_on(tmp_path):
  with pytest.raises(ValueError, match='4 categories are never the same as 5'):
    check_resume(new_config(), saved(tmp_path, CATEGORIES[:4]), KNOWN)


def test_a_start_with_the_same_categories(tmp_path):
  start(new_config(init_from=saved(tmp_path, CATEGORIES)))


def test_classes_of_other_names_are_not_taken(tmp_path, class_arrays):
  config = new_config(init_from=saved(tmp_path, RENAMED))
  patterns = ', '.join(f"'{layer}/[*]'" for layer in LAYERS)
  with pytest.raises(ValueError, match=rf"label 3 is 'another'.*anew with train.init_except=\({patterns}\)"):
    start(config)
  config.data.compare_categories = 'ids'
  start(config)


def test_classes_that_begin_anew_may_differ(tmp_path, class_arrays):
  init_from = saved(tmp_path, RENAMED)
  start(new_config(init_from=init_from, init_except=tuple(f'{layer}/*' for layer in LAYERS)))
  with pytest.raises(ValueError, match=r"train.init_except=\('params/mask_head/logits/\*',?\)"):
    start(new_config(init_from=init_from, init_except=tuple(f'{layer}/*' for layer in LAYERS[:2])))


def test_a_start_with_another_number_of_classes_takes_no_class(tmp_path):
  start(new_config(init_from=saved(tmp_path, CATEGORIES[:3])))


def test_a_resumed_run_does_not_read_its_start_again():
  start(new_config(init_from='gone'), resumed=True)
  with pytest.raises(FileNotFoundError):
    start(new_config(init_from='gone'))
