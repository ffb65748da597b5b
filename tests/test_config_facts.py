"""Configs against what recorded runs say of upstream's: images, matching, suppression, optimizers."""

import functools
import pathlib
import re
from typing import Any, NamedTuple

from ml_collections import ConfigDict

import parity_kit
from jaxdet.configuration import load_config
from jaxdet.parity.case import Case, case_names, load_case
from jaxdet.parity.overrides import case_config
from jaxdet.parity.upstream import Entry, find_config
from jaxdet.zoo.lines import read_zoo

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Recorded(NamedTuple):
  case: Case
  entry: Entry
  config: ConfigDict  # without what the run changed in upstream's


@functools.cache
def every_recorded() -> list[Recorded]:
  """Recorded runs that configs/zoo.csv has a config for; skips the test where there are none."""
  kit = parity_kit.kit()
  table = read_zoo([ROOT / 'configs' / 'zoo.csv'])
  runs = []
  for name in case_names(kit):
    case = load_case(kit, name)
    if found := find_config(table, case):
      entry = Entry(f'{ROOT}/{found.config}', found.is_case_specific)
      runs.append(Recorded(case, entry, load_config(entry.config)))
  assert len(runs) > 90
  return runs


def recorded(setting: str) -> list[tuple[str, ConfigDict, Any]]:
  """(case, config, what is recorded of a setting) of all that have it."""
  return [(run.case.name, run.config, run.case.meta[setting]) for run in every_recorded() if run.case.meta.get(setting)]


def matcher(assigner: dict) -> tuple:
  """mmdetection's in our terms: (negative and positive IoU, whether below it too, and from where on)."""
  low = assigner.get('match_low_quality', True)
  return assigner['neg_iou_thr'], assigner['pos_iou_thr'], low, assigner['min_pos_iou'] if low else 0


def ours(settings: ConfigDict) -> tuple:
  low = settings.low_quality_matches != 'off'
  return settings.negative_iou, settings.positive_iou, low, settings.low_quality_min_iou if low else 0


def test_pixels_and_what_is_a_detection():
  for run in every_recorded():
    if 'TEST.AUG.FLIP' not in (run.case.meta['overrides'] or {}):  # detections of an image in several forms
      _, differences = case_config(run.case, run.entry)
      assert not differences, run.case.name


def test_proposals_are_matched_and_suppressed_as_in_mmdetection():
  found = [(name, config, train['rpn']) for name, config, train in recorded('train_cfg') if 'rpn' in train]
  assert len(found) > 30
  for name, config, train in found:
    rpn = config.model.proposals
    if rpn.name == 'dense':  # the method's own assignment
      continue
    assert ours(rpn.matcher) == matcher(train['assigner']), name
    assert rpn.border == train['allowed_border'], name
    assert rpn.sampler.positive_fraction == train['sampler']['pos_fraction'], name
  for name, config, test in recorded('test_cfg'):
    if 'rpn' in test:
      found = config.model.proposals.test_proposals
      assert (found.iou, found.min_size) == (test['rpn']['nms']['iou_threshold'], test['rpn']['min_bbox_size']), name


def test_regions_are_matched_as_in_mmdetection():
  found = [(name, config, train['rcnn']) for name, config, train in recorded('train_cfg') if 'rcnn' in train]
  assert len(found) > 30
  for name, config, stages in found:
    stages = stages if isinstance(stages, list) else [stages]
    roi = config.model.roi
    assert ours(roi.matcher) == matcher(stages[0]['assigner']), name
    assert roi.sampler.positive_fraction == stages[0]['sampler']['pos_fraction'], name
    assert roi.add_ground_truth == stages[0]['sampler']['add_gt_as_proposals'], name
    if 'cascade' in roi:
      assert list(roi.cascade.ious) == [stage['assigner']['pos_iou_thr'] for stage in stages], name
      assert not any(stage['assigner']['match_low_quality'] for stage in stages), name


def test_objects_choose_anchors_and_queries_as_in_mmdetection():
  kinds = set()
  for name, config, train in recorded('train_cfg'):
    assigner, model = train.get('assigner', {}), config.model
    kind = assigner.get('type')
    kinds.add(kind)
    if kind == 'MaxIoUAssigner':
      assert ours(model.head.matcher) == matcher(assigner), name
      assert model.head.border == train['allowed_border'], name
    elif kind == 'ATSSAssigner':
      assert (model.head.matcher.num_nearest, model.head.border) == (assigner['topk'], train['allowed_border']), name
    elif kind == 'HungarianAssigner':
      weights = [cost['weight'] for cost in assigner['match_costs']]  # of class, L1 and GIoU
      assert [model.match.class_weight, model.match.box_weight, model.match.giou_weight] == weights, name
  assert {'MaxIoUAssigner', 'ATSSAssigner', 'HungarianAssigner'} <= kinds


def test_optimizers_are_those_of_mmdetection():
  found = recorded('train_optimizer')
  assert len(found) >= 6
  for name, config, wrapper in found:
    recorded_sgd, optimizer = wrapper['optimizer'], config.train.optimizer
    by_parameter = wrapper.get('paramwise_cfg', {})
    assert optimizer.weight_decay == recorded_sgd['weight_decay'], name
    assert optimizer.momentum == recorded_sgd['momentum'], name
    of_norms, of_biases, of_weights = (factor for _, factor in optimizer.decay_factors)
    assert of_norms == by_parameter.get('norm_decay_mult', 1.0), name
    assert of_biases == by_parameter.get('bias_decay_mult', 1.0) and of_weights == 1.0, name
    assert optimizer.clip_norm == wrapper.get('clip_grad', {}).get('max_norm', 0.0), name
    factors = {key: value['lr_mult'] for key, value in by_parameter.get('custom_keys', {}).items()}
    if 'bias_lr_mult' in by_parameter:
      factors['bias$'] = by_parameter['bias_lr_mult']
    found_factors = {re.sub(r'\(.*?\)|^\^|/', '', key): value for key, value in optimizer.lr_factors.items()}
    assert found_factors == factors, name


def test_optimizers_are_those_of_detectron2():
  found = recorded('train_settings')
  assert len(found) >= 4
  for name, config, settings in found:
    optimizer = config.train.optimizer
    for key in ('momentum', 'weight_decay'):
      assert optimizer[key] == settings[key], name
    of_norms, of_biases, of_weights = (factor for _, factor in optimizer.decay_factors)
    assert of_norms * optimizer.weight_decay == settings['weight_decay_norm'] and of_biases == of_weights == 1.0, name
    assert optimizer.clip_norm == 0.0 and not optimizer.lr_factors, name
