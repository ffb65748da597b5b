"""`eval` and `predict` look at settings, and `eval` at its ground truth, before the first image."""

import pathlib
import types

import pytest
from PIL import Image

from jaxdet.cli.jobs import inference
from jaxdet.configuration import load_config
from jaxdet.training.categories import placeholders
from jaxdet.training.checkpoint import Metadata

MINI = f'{pathlib.Path(__file__).parents[2]}/configs/lvis_maskrcnn.py:mini'


@pytest.fixture
def config(monkeypatch):
  """The config of a checkpoint with three categories, and without weights."""
  config = load_config(MINI)
  monkeypatch.setattr(inference, 'load_for_inference', lambda path: ({}, Metadata(config, placeholders(3))))
  return config


def test_predict_refuses_settings_of_a_checkpoint(config, tmp_path):
  Image.new('RGB', (8, 8)).save(tmp_path / '1.png')
  config.eval.batch_size = 0
  with pytest.raises(ValueError, match='eval.batch_size is 0: give a whole number from 1'):
    inference.predict_images(None, str(tmp_path), [str(tmp_path)])
  assert not (tmp_path / 'predictions').exists()


def test_eval_refuses_before_it_runs(config, tmp_path, monkeypatch):
  def refuse(*args):
    raise ValueError('the split cannot be scored')

  def run(*args):
    raise AssertionError('evaluation began')

  dataset = types.SimpleNamespace(categories=placeholders(3), annotations='val.json')
  monkeypatch.setattr(inference, 'open_dataset', lambda config, workdir: dataset)
  monkeypatch.setattr(inference, 'check_evaluation', refuse)
  monkeypatch.setattr(inference, 'evaluate', run)
  with pytest.raises(ValueError, match='the split cannot be scored'):
    inference.evaluate_checkpoint(None, str(tmp_path))
