"""What a recorded run changed in its upstream config, said in jaxdet's.

Recorded runs leave nothing to chance: samplers take everything, and few proposals keep the files small.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxdet.command_line import load_config
from jaxdet.parity.case import Case
from jaxdet.parity.zoo import Entry

EVERYTHING = 4096  # a sampler of so many rows or more takes all there are: `sampler.num` 0
Change = Callable[[ConfigDict, Any], None]


def put(*paths: str) -> Change:
  """Writes the value at these paths below `config.model`."""

  def change(config: ConfigDict, value) -> None:
    for path in paths:
      _set(config.model, path, value)

  return change


def put_each(*paths: str) -> Change:
  """Writes the parts of a value at these paths."""

  def change(config: ConfigDict, values) -> None:
    for path, value in zip(paths, values, strict=True):
      _set(config.model, path, value)

  return change


def sample(path: str) -> Change:
  """The number of rows that a sampler takes."""
  return lambda config, value: _set(config.model, path, 0 if value >= EVERYTHING else value)


def both(*changes: Change) -> Change:
  def change(config: ConfigDict, value) -> None:
    for each in changes:
      each(config, value)

  return change


def pixel_std(config: ConfigDict, value) -> None:
  """Upstream's are in its channel order."""
  config.model.pixel_std = tuple(value[:: -1 if config.model.channel_order == 'BGR' else 1])


def mask_format(config: ConfigDict, value) -> None:
  """Bitmaps have no outlines to draw masks from."""
  if value == 'bitmask':
    config.data.max_vertices = 0


def nothing(config: ConfigDict, value) -> None:
  """Says nothing about the model."""


# Upstream's key as a regular expression, and what it changes. Detectron2's RPN divides its losses by the number of
# anchors it asked for, mmdetection's by the number it got.
RULES: Mapping[str, Change] = {
  # Detectron2 and its descendants
  r'MODEL\.RPN\.BATCH_SIZE_PER_IMAGE': both(sample('rpn.sampler.num'), put('rpn.normalizer')),
  r'MODEL\.RPN\.POSITIVE_FRACTION': put('rpn.sampler.positive_fraction'),
  r'MODEL\.RPN\.PRE_NMS_TOPK_TRAIN': put('rpn.train_proposals.pre_nms'),
  r'MODEL\.RPN\.PRE_NMS_TOPK_TEST': put('rpn.test_proposals.pre_nms'),
  r'MODEL\.RPN\.POST_NMS_TOPK_TRAIN': put('rpn.train_proposals.post_nms'),
  r'MODEL\.RPN\.POST_NMS_TOPK_TEST': put('rpn.test_proposals.post_nms'),
  r'MODEL\.ROI_HEADS\.BATCH_SIZE_PER_IMAGE': sample('roi.sampler.num'),
  r'MODEL\.ROI_HEADS\.POSITIVE_FRACTION': put('roi.sampler.positive_fraction'),
  r'MODEL\.ROI_HEADS\.NUM_CLASSES': put('num_classes'),
  r'MODEL\.PIXEL_STD': pixel_std,
  r'INPUT\.MASK_FORMAT': mask_format,
  r'MODEL\.(WEIGHTS|DEVICE)|FP16': nothing,
  # Detectron2's Python configs
  r'model\.proposal_generator\.batch_size_per_image': both(sample('rpn.sampler.num'), put('rpn.normalizer')),
  r'model\.proposal_generator\.positive_fraction': put('rpn.sampler.positive_fraction'),
  r'model\.proposal_generator\.pre_nms_topk': put_each('rpn.train_proposals.pre_nms', 'rpn.test_proposals.pre_nms'),
  r'model\.proposal_generator\.post_nms_topk': put_each('rpn.train_proposals.post_nms', 'rpn.test_proposals.post_nms'),
  r'model\.roi_heads\.batch_size_per_image': sample('roi.sampler.num'),
  r'model\.roi_heads\.positive_fraction': put('roi.sampler.positive_fraction'),
  r'model\.pixel_std': pixel_std,
  # mmdetection
  r'model\.train_cfg\.rpn\.sampler\.num': sample('rpn.sampler.num'),
  r'model\.train_cfg\.rpn_proposal\.nms_pre': put('rpn.train_proposals.pre_nms'),
  r'model\.train_cfg\.rpn_proposal\.max_per_img': put('rpn.train_proposals.post_nms'),
  r'model\.train_cfg\.rcnn\.(\d\.)?sampler\.num': sample('roi.sampler.num'),
  r'model\.test_cfg\.rpn\.nms_pre': put('rpn.test_proposals.pre_nms'),
  r'model\.test_cfg\.rpn\.max_per_img': put('rpn.test_proposals.post_nms'),
  r'model\.test_cfg\.rcnn\.score_thr': put('test.score_threshold'),
  r'model\.test_cfg\.rcnn\.max_per_img': put('test.detections'),
  r'model\.data_preprocessor\.batch_augments': nothing,
  r'SyncBN': nothing,  # runs on running statistics, as everything here
}


def case_config(case: Case, entry: Entry) -> tuple[ConfigDict, list[str]]:
  """The config of a recorded run, unlocked, and what it and the recording disagree about.

  Raises:
    ValueError: names the overrides that are not understood.
  """
  config = load_config(entry.config).unlock()
  model = config.model
  unknown = []
  for key, value in (case.meta['overrides'] or {}).items():
    change = next((rule for pattern, rule in RULES.items() if re.fullmatch(pattern, key)), None)
    if change:
      change(config, value)
    elif not entry.own:
      unknown.append(key)
  if unknown:
    raise ValueError(f'override not understood: {", ".join(unknown)}')
  differences = disagreements(model, case)
  model.dtype = 'float32'
  model.num_classes = case.meta['num_classes']
  model.pixel_mean, model.pixel_std, model.channel_order = case.pixel_mean, case.pixel_std, case.meta['channel_order']
  if case.meta.get('score_thr') is not None:
    model.test.update(
      {
        'score_threshold': case.meta['score_thr'],
        'iou': case.meta['nms_iou'],
        'detections': case.meta['max_per_img'],
      }
    )
  _still_batch_norm(model)
  return config, differences


def disagreements(model: ConfigDict, case: Case) -> list[str]:
  """Sentences on what `config.model` says and the recorded run did otherwise."""
  meta = case.meta
  expected = {
    'pixel_mean': case.pixel_mean,
    'pixel_std': case.pixel_std,
    'channel_order': meta['channel_order'],
  }
  if model.num_classes is not None:
    expected['num_classes'] = meta['num_classes']
  if meta.get('score_thr') is not None:
    # Detectron2's recordings have a threshold of their own, between two scores.
    expected['test.score_threshold'] = meta.get('score_thr_default', meta['score_thr'])
    expected['test.iou'], expected['test.detections'] = meta['nms_iou'], meta['max_per_img']
  found = {path: _get(model, path) for path in expected}
  return [
    f'config.model.{path} is {found[path]}, recorded with {value}'
    for path, value in expected.items()
    if not _same(found[path], value)
  ]


def _still_batch_norm(tree: ConfigDict) -> None:
  """Batch norms use their running statistics in recorded runs, in training too."""
  for key, value in tree.items():
    if isinstance(value, ConfigDict):
      _still_batch_norm(value)
    elif key == 'norm' and value == 'sync_bn':
      tree[key] = 'bn_eval'


def _same(a, b) -> bool:
  if isinstance(b, tuple):
    return len(a) == len(b) and all(map(_same, a, b))
  return abs(a - b) <= 1e-6 * abs(b) if isinstance(b, float) else a == b


def _get(model: ConfigDict, path: str):
  for key in path.split('.'):
    model = model[key]
  return model


def _set(model: ConfigDict, path: str, value) -> None:
  """Recorded overrides also speak of parts that a model does without (an RPN alone): those are passed over."""
  *parents, key = path.split('.')
  if parents and model.get(parents[0]) is None:
    return
  node = _get(model, '.'.join(parents)) if parents else model
  if key not in node:
    raise KeyError(f'the config has no model.{path}, which the recorded run overrides')
  with node.ignore_type():
    node[key] = value
