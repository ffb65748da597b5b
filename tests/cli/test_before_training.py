"""What a training run would be refused for at its end is refused at its beginning."""

import json
import pathlib
import types

import pytest
from PIL import Image

from jaxdet.cli.jobs import before_training, training
from jaxdet.cli.jobs.before_training import check_best_metric, check_run, check_writable
from jaxdet.configuration import load_config
from jaxdet.training.checkpoint import Checkpoints, Metadata

CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'
MINI = f'{CONFIGS}/lvis_maskrcnn.py:mini'
METRICS = {'bbox': {'AP': 100.0, 'APl': None}, 'segm': {'AP': 100.0, 'APl': None}}


def config(**changes):
  made = load_config(MINI)
  made.update_from_flattened_dict({key.replace('__', '.'): value for key, value in changes.items()})
  return made


def test_a_run_of_a_recipe_passes_and_its_folder_is_made(tmp_path):
  check_run(config(), str(tmp_path / 'runs' / 'mini'))
  assert list((tmp_path / 'runs' / 'mini').iterdir()) == []


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'train__batch_size': 0}, 'train.batch_size is 0: give a whole number from 1'),
    ({'eval__protocol': 'lvsi'}, "unknown eval.protocol 'lvsi'; the nearest is 'lvis'"),
    ({'train__schedule__name': 'cosinus'}, "unknown train.schedule.name 'cosinus'"),
    ({'model__backbone__name': 'resnett'}, "unknown backbone.name 'resnett'; the nearest is 'resnet'"),
    ({'model__roi__class_loss__name': 'entropy'}, "unknown class loss 'entropy': choose one of cross_entropy"),
  ],
)
def test_settings_are_looked_at_before_data(changes, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    check_run(config(**changes), str(tmp_path))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'train__batch_size': 8}, 'train.batch_size 8 is no multiple of 3 devices .*choose a multiple of 3'),
    ({'train__batch_size': 9}, 'eval.batch_size 8: choose a multiple of the 3 devices'),
  ],
)
def test_batches_divide_over_the_devices(changes, message, tmp_path, monkeypatch):
  monkeypatch.setattr(before_training.sharding, 'make_mesh', lambda: types.SimpleNamespace(size=3))
  with pytest.raises(ValueError, match=message):
    check_run(config(**changes), str(tmp_path))


def test_nothing_can_be_written_into_a_file(tmp_path):
  (tmp_path / 'file').write_text('')
  for workdir in (tmp_path / 'file', tmp_path / 'file' / 'run'):
    with pytest.raises(OSError, match=f'cannot write into the workdir {workdir} .*: give another --workdir'):
      check_writable(str(workdir))


def test_an_initial_checkpoint_is_there(tmp_path):
  with pytest.raises(FileNotFoundError, match='no checkpoint in .*nowhere'):
    check_run(config(train__init_from=str(tmp_path / 'nowhere')), str(tmp_path))


def test_what_a_resumed_run_changes_is_said(tmp_path, caplog):
  """It needs no initial checkpoint any more."""
  checkpoints = Checkpoints(str(tmp_path / 'checkpoints'), keep=1)
  checkpoints.save_variables({'params': {'x': 1.0}}, Metadata(config(model__num_classes=48), ()), step=700)
  checkpoints.close()
  resumed = config(train__steps=500, train__batch_size=16, train__init_from='nowhere')
  with caplog.at_level('INFO'):
    check_run(resumed, str(tmp_path))
  assert 'is of step 700, and train.steps is 500: nothing is trained' in caplog.text
  assert 'settings that differ from those of the checkpoint at step 700' in caplog.text
  assert 'train.batch_size 8 -> 16' in caplog.text and 'train.steps 1000 -> 500' in caplog.text
  assert 'num_classes' not in caplog.text
  assert 'milestones 750, 920 are beyond the last step of 500: the learning rate never falls' in caplog.text


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('segm/APp', "'segm/APp' is no metric of eval.protocol 'lvis' with these eval.iou_types: set it to 'segm/AP"),
    ('', "'' is no metric of eval.protocol 'lvis'"),
    ('panoptic/PQ', "'panoptic/PQ' is no metric"),
    ('segm/APl', "'segm/APl' has no value on val.json: no object .* set it to 'segm/AP', the nearest with a value"),
  ],
)
def test_the_best_checkpoint_is_chosen_by_a_metric_that_will_come(name, message):
  check_best_metric('segm/AP', METRICS, 'lvis', 'val.json')
  with pytest.raises(ValueError, match=message):
    check_best_metric(name, METRICS, 'lvis', 'val.json')


def test_without_objects_no_metric_has_a_value():
  with pytest.raises(ValueError, match='no metric has a value'):
    check_best_metric('bbox/AP', {'bbox': {'AP': None}}, 'coco', 'val.json')


@pytest.fixture
def coco_data(tmp_path, monkeypatch):
  """A folder with an image in COCO's format, for training and validation; training itself must not begin."""
  Image.new('RGB', (64, 48), (200, 90, 40)).save(tmp_path / '1.png')
  box = {'id': 5, 'image_id': 1, 'category_id': 3, 'bbox': [8, 8, 24, 24], 'area': 576, 'iscrowd': 0}
  content = {
    'images': [{'id': 1, 'file_name': '1.png', 'width': 64, 'height': 48}],
    'annotations': [box | {'segmentation': [[8, 8, 32, 8, 32, 32, 8, 32]]}],
    'categories': [{'id': 3, 'name': 'kite'}],
  }
  for split in ('train', 'val'):
    (tmp_path / f'{split}.json').write_text(json.dumps(content))

  def begin(*args):
    raise AssertionError('training began')

  monkeypatch.setattr(training.loop, 'train', begin)
  return tmp_path


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'eval.protocol': 'lvis'}, "val.json: not every image has 'neg_category_ids'"),
    ({'train.best_metric': 'bbox/APP'}, "train.best_metric 'bbox/APP' is no metric of eval.protocol 'coco'"),
  ],
)
def test_training_does_not_begin_without_what_evaluation_needs(changes, message, coco_data):
  config = load_config(f'{CONFIGS}/detectron2/retinanet.py:mini')
  of_data = {'data.name': 'coco', 'data.dir': str(coco_data), 'eval.protocol': 'coco'}
  config.update_from_flattened_dict(of_data | changes)
  with pytest.raises(ValueError, match=message):
    training.train(config, str(coco_data / 'run'))
