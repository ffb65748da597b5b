"""Configs: their arguments, and that every line of the model table is one."""

import pathlib

import pytest

from configs import arguments, rcnn
from jaxdet.command_line import load_config

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHOICES = {'upstream': ('detectron2', 'mmdet'), 'backbone': ('r50', 'r101')}


def zoo_lines():
  lines = (ROOT / 'configs' / 'zoo.csv').read_text().splitlines()
  return [line.split(',', 1) for line in lines if line and not line.startswith('#')]


def test_arguments_have_defaults_and_are_set_by_name():
  assert vars(arguments.parse('', CHOICES)) == {'upstream': 'detectron2', 'backbone': 'r50'}
  assert vars(arguments.parse('backbone=r101', CHOICES)) == {'upstream': 'detectron2', 'backbone': 'r101'}


@pytest.mark.parametrize(
  'text, error',
  [
    ('backbon=r50', "unknown argument 'backbon=r50' of a config; the nearest is 'backbone='"),
    ('r50', "unknown argument 'r50'"),
    ('backbone=r51', "unknown backbone 'r51' of a config: choose one of r50, r101"),
  ],
)
def test_mistakes_in_arguments_are_named(text, error):
  with pytest.raises(ValueError, match=error):
    arguments.parse(text, CHOICES)


def test_every_model_of_the_table_has_a_complete_locked_config():
  lines = zoo_lines()
  assert len({upstream for upstream, _ in lines}) == len(lines)
  for upstream, path in lines:
    file, _, variant = path.partition(':')
    assert file == 'configs/rcnn.py', upstream
    config = rcnn.get_config(variant)
    assert config.is_locked and config.train.steps > 0, upstream
    assert list(config.train.schedule.milestones) == sorted(config.train.schedule.milestones), upstream


def test_a_config_finds_its_neighbours_from_any_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  config = load_config(f'{ROOT}/configs/rcnn.py:method=cascade_rcnn,upstream=mmdet')
  assert config.model.name == 'cascade_rcnn' and config.model.roi.cascade.resample


def test_some_settings_of_upstream():
  c4 = rcnn.get_config('neck=c4,method=faster_rcnn').model
  assert (c4.rpn.channels, c4.rpn.test_proposals.pre_nms, c4.roi.shared_head) == (1024, 6000, 'res5')
  giou = rcnn.get_config('box_loss=giou').model
  assert (giou.rpn.loss.name, giou.rpn.loss.weight, giou.roi.loss.weight) == ('giou', 2.0, 10.0)
  mmdet = rcnn.get_config('upstream=mmdet,method=faster_rcnn')
  assert mmdet.model.roi.matcher.low_quality == 'none' and mmdet.train.schedule.warmup_steps == 500
  assert mmdet.train.optimizer.weight_decay_norm == mmdet.train.optimizer.weight_decay
  lsj = rcnn.get_config('recipe=lsj,schedule=100ep')
  assert lsj.model.rpn.num_convs == 2 and lsj.model.neck.norm == 'sync_bn' and lsj.train.steps == 183_228
