"""Ranges of a config's settings: every recipe is inside, every number has a row, and what is outside is named."""

import fnmatch
import functools
import pathlib

import pytest

from configs import lvis_maskrcnn
from jaxdet import config_ranges
from jaxdet.configuration import load_config
from jaxdet.zoo.lines import read_lines

ROOT = pathlib.Path(__file__).resolve().parents[1]
MINI = 'configs/lvis_maskrcnn.py:mini'
DENSE = ('detectron2/retinanet', 'detectron2/fcos', 'mmdet/retinanet', 'mmdet/fcos', 'mmdet/atss', 'mmdet/gfl')


@functools.cache
def recipes() -> dict[str, dict]:
  """Settings by key of every config of the table of models, of the small ones, and of the losses for the tail."""
  names = {line.config for line in read_lines(ROOT / 'configs' / 'zoo.csv')}
  names |= {f'configs/{name}.py:mini' for name in (*DENSE, 'mmdet/yolact')}
  names |= {f'{MINI},loss={loss}' for loss in lvis_maskrcnn.CHOICES['loss']}
  names |= {MINI, 'configs/lvis_maskrcnn.py:v0.5', 'configs/mmdet/cornernet.py:mirror=true'}
  configs = {name: load_config(f'{ROOT}/{name}') for name in sorted(names)}
  for config in configs.values():
    config_ranges.check(config)
  return {name: dict(config_ranges.leaves(config.to_dict())) for name, config in configs.items()}


def has_number(value) -> bool:
  if isinstance(value, tuple):
    return any(map(has_number, value))
  return isinstance(value, int | float) and not isinstance(value, bool)


def changed(**changes):
  """The mini config with changed settings; `__` stands for a dot."""
  config = load_config(f'{ROOT}/{MINI}').unlock()
  for key, value in changes.items():
    *path, last = key.split('__')
    settings = functools.reduce(lambda node, name: node[name], path, config)
    with settings.ignore_type():
      settings[last] = value
  return config


def problems(**changes) -> str:
  with pytest.raises(ValueError) as caught:
    config_ranges.check(changed(**changes))
  return str(caught.value)


def test_every_recipe_is_in_range_and_every_number_of_it_has_one_row():
  found = recipes()
  assert len(found) > 300
  numbers = {key for settings in found.values() for key, value in settings.items() if has_number(value)}
  assert len(numbers) > 200
  for key in numbers:
    rows = [row for row in config_ranges.TABLE if any(fnmatch.fnmatchcase(key, each) for each in row.keys.split())]
    assert len(rows) == 1, (key, rows)


def test_every_pattern_of_the_table_is_that_of_a_setting():
  keys = {key for settings in recipes().values() for key in settings}
  for row in config_ranges.TABLE:
    for each in row.keys.split():
      assert fnmatch.filter(keys, each), each


@pytest.mark.parametrize(
  ('key', 'value', 'allowed'),
  [
    ('seed', -1, 'a whole number from 0 to 4294967295'),
    ('seed', 2**32, 'a whole number from 0 to 4294967295'),
    ('train.steps', 0, 'a whole number from 1'),
    ('train.steps', 1.5, 'a whole number from 1'),
    ('train.steps', True, 'a whole number from 1'),
    ('train.batch_size', 0, 'a whole number from 1'),
    ('train.batch_size', -8, 'a whole number from 1'),
    ('train.batch_size', '8', 'a whole number from 1'),
    ('train.accumulate', 0, 'a whole number from 1'),
    ('train.ema_decay', 2.0, 'a number from 0 below 1'),
    ('train.ema_decay', 1.0, 'a number from 0 below 1'),
    ('train.keep_checkpoints', 0, 'a whole number from 1 (the last ones; with 0 none would be left)'),
    ('train.eval_every', -1, 'a whole number from 0 (steps; 0: at the end alone)'),
    ('train.optimizer.momentum', 1.0, 'a number from 0 below 1'),
    ('train.optimizer.weight_decay', -1e-4, 'a number from 0 to 1'),
    ('train.optimizer.weight_decay', 5.0, 'a number from 0 to 1'),
    ('train.optimizer.decay_factors', (('(', 1.0),), 'a tuple of pairs, each a regular expression and a number'),
    ('train.optimizer.decay_factors', (('bias', float('nan')),), 'a tuple of pairs'),
    ('train.optimizer.clip_norm', -1.0, 'a number from 0'),
    ('train.optimizer.lr_factors', {'^backbone/': -0.1}, 'a number from 0'),
    ('train.schedule.base_lr', -0.02, 'a number above 0'),
    ('train.schedule.base_lr', float('nan'), 'a number above 0'),
    ('train.schedule.base_lr', float('inf'), 'a number above 0'),
    ('train.schedule.base_batch_size', 0, 'a whole number from 1'),
    ('train.schedule.milestones', (80, 60), 'in rising order'),
    ('train.schedule.milestones', (60, 60), 'in rising order'),
    ('train.schedule.milestones', (0, 60), 'each a whole number from 1'),
    ('train.schedule.milestones', (60.5,), 'each a whole number from 1'),
    ('train.schedule.milestones', 60, 'a tuple of any number of values'),
    ('train.schedule.warmup_steps', -1, 'a whole number from 0'),
    ('train.schedule.warmup_factor', 1.5, 'a number from 0 to 1'),
    ('eval.batch_size', 0, 'a whole number from 1'),
    ('eval.picture_threshold', 50.0, 'a number from 0 to 1'),
    ('eval.iou_types', (), 'at least 1 value'),
    ('eval.iou_types', ('mask',), "each one of 'bbox', 'segm'"),
    ('data.val', (), 'at least 1 value, each a text'),
    ('data.val', 'val.json', 'at least 1 value, each a text'),
    ('data.train', (7,), 'any number of values, each a text'),
    ('data.flip', float('nan'), 'a number from 0 to 1'),
    ('data.flip', 2.0, 'a number from 0 to 1'),
    ('data.rate', -1.0, 'a number from 0'),
    ('data.max_objects', 0, 'a whole number from 1'),
    ('data.resize.sizes', (), 'at least 1 value'),
    ('data.resize.sizes', (0,), 'each a whole number from 1'),
    ('data.resize.sizes', ('128',), 'each a whole number from 1'),
    ('data.resize.jitter', (2.0, 0.1), '(least, largest)'),
    ('data.resize.crop.probability', -0.5, 'a number from 0 to 1'),
    ('data.resize.crop.range', (60, 38), '(least, largest), each a whole number from 1'),
    ('data.resize.window.expand_probability', 2.0, 'a number from 0 to 1'),
    ('data.resize.window.expand_ratio', 0.5, 'a number from 1'),
    ('data.resize.window.min_ious', (1.0,), 'each a number above 0 below 1'),
    ('data.resize.center_crop.scales', (), 'at least 1 value'),
    ('data.resize.center_crop.border', -1, 'a whole number from 0'),
    ('data.photometric.contrast', (1.5, 0.5), '(least, largest), each a number from 0'),
    ('data.canvases', (), '1 to 2 values'),
    ('data.canvases', ((128, 0),), 'each a tuple of 2 values, each a whole number from 1'),
    ('data.canvases', ((128, 64), (64, 128)), 'one (height, width), or a wide one and a tall one'),
    ('data.test_canvases', ((128,),), '0 to 2 values'),
    ('data.sampler.threshold', 3.0, 'a number from 0 to 1'),
    ('data.shapes.images', 0, 'a whole number from 1'),
    ('model.dtype', 'float61', "one of 'float32', 'bfloat16'"),
    ('model.num_classes', 0, 'a whole number from 1, or None'),
    ('model.frozen', ('(',), 'a regular expression'),
    ('model.pixel_std', (1.0, 0.0, 1.0), 'each a number above 0'),
    ('model.proposals.matcher.negative_iou', 1.5, 'a number from 0 to 1'),
    ('model.roi.box_head.channels', 0, 'a whole number from 1'),
    ('model.test.score_threshold', 5.0, 'a number from 0 to 1'),
    ('model.test.detections', 0, 'a whole number from 1'),
    ('model.test.iou', -0.1, 'a number from 0 to 1'),
  ],
)
def test_what_is_outside_is_named_with_its_range(key, value, allowed):
  message = problems(**{key.replace('.', '__'): value})
  assert message.startswith(f'the config has a setting out of range: {key}')
  assert allowed in message and ': give ' in message


def test_all_problems_come_at_once():
  message = problems(train__batch_size=0, data__flip=2.0, model__dtype='float8')
  assert message.startswith('the config has 3 settings out of range: ')
  assert [message.count(key) for key in ('train.batch_size is 0', 'data.flip is 2.0', "model.dtype is 'float8'")] == [
    1,
    1,
    1,
  ]


def test_many_problems_are_counted():
  assert problems(train__optimizer__lr_factors={f'{i}': -1.0 for i in range(30)}).endswith('; and 10 more')


def test_a_source_has_the_ranges_of_data():
  source = {'train': ('b.json',), 'rate': float('nan'), 'canvases': ((0, 0),), 'resize': {'sizes': ()}}
  message = problems(data__more_sources={'other': source})
  for key in ('rate is nan', 'canvases is ((0, 0),)', 'resize.sizes is ()'):
    assert f'data.more_sources.other.{key}: give' in message


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'train__accumulate': 3}, 'train.batch_size is 8: give a multiple of train.accumulate, 3'),
    (
      {'model__roi__matcher__negative_iou': 0.7},
      'model.roi.matcher.positive_iou is 0.5: give at least the negative_iou beside it, 0.7',
    ),
    (
      {'data__keypoints': {'points': 2, 'flip_pairs': ((1, 2),)}},
      'data.keypoints.flip_pairs is ((1, 2),): give numbers below keypoints.points, 2',
    ),
  ],
)
def test_settings_that_do_not_go_together(changes, message):
  assert message in problems(**changes)


def test_each_stage_of_a_cascade_has_its_values():
  config = load_config(f'{ROOT}/configs/mmdet/cascade_rcnn.py').unlock()
  config.model.roi.cascade.ious = (0.5, 0.6)
  with pytest.raises(ValueError, match='the numbers of stages differ: model.roi.cascade.ious 2, .*coder_weights 3'):
    config_ranges.check(config)


def test_a_number_without_a_row_is_finite():
  assert 'model.own is (1, inf): give finite numbers' in problems(model__own=(1, float('inf')))
  config_ranges.check(changed(model__own=(1, -2.5, 'text')))
