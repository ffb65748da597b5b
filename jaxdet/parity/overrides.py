"""Applies the overrides of a recorded run to jaxdet's config.

Recorded runs are deterministic: samplers take all rows, and few proposals keep the files small.
"""

import re

from ml_collections import ConfigDict

from jaxdet.configuration import load_config
from jaxdet.parity import override_detectron2, override_mmdet
from jaxdet.parity.case import Case
from jaxdet.parity.override_changes import read
from jaxdet.parity.upstream import Entry

# By program; Detic and DisAlign are based on Detectron2.
RULES = {
  'mmdet': override_mmdet.RULES,
  'detectron2': override_detectron2.RULES,
  'detic': override_detectron2.RULES,
  'disalign': override_detectron2.RULES,
}
# Upstream's detection settings that a method's head ignores, although its config has them.
UNREAD = {'cornernet': ('score_threshold',)}
OBJECTS = 8  # no fewer than the objects of a recorded image, whose boxes are added to the proposals


class OverrideNotUnderstood(ValueError):
  """A recorded run has an override that jaxdet's config cannot express."""


def case_config(case: Case, entry: Entry) -> tuple[ConfigDict, list[str]]:
  """Makes the config of a recorded run, unlocked, and lists its differences from the recording.

  Raises:
    OverrideNotUnderstood: the message names the overrides.
  """
  config = load_config(entry.config).unlock()
  model = config.model
  unknown = []
  for key, value in (case.meta['overrides'] or {}).items():
    change = next((rule for pattern, rule in RULES[case.program].items() if re.fullmatch(pattern, key)), None)
    if change:
      change(config, value)
    elif not entry.is_case_specific:
      unknown.append(key)
  if unknown:
    raise OverrideNotUnderstood(f'override not understood: {", ".join(unknown)}')
  differences = disagreements(model, case)
  model.dtype = 'float32'
  model.num_classes = case.meta['num_classes']
  model.pixel_mean, model.pixel_std, model.channel_order = case.pixel_mean, case.pixel_std, case.meta['channel_order']
  if case.meta.get('score_thr') is not None:
    model.test.update(recorded_test(model, case))
  _still_batch_norm(model)
  _without_chance(model)
  _take_everything_in_fewer_rows(model)
  return config, differences


def disagreements(model: ConfigDict, case: Case) -> list[str]:
  """Describes the differences between `config.model` and the recorded run, one sentence each."""
  meta = case.meta
  expected = {
    'pixel_mean': case.pixel_mean,
    'pixel_std': case.pixel_std,
    'channel_order': meta['channel_order'],
  }
  if meta.get('score_thr') is not None:
    # Detectron2's and DisAlign's recordings have a threshold of their own, between two scores.
    test = recorded_test(model, case)
    threshold = test.pop('score_threshold', None)
    if threshold is not None and case.program == 'mmdet' or 'score_thr_default' in meta:
      expected['test.score_threshold'] = meta.get('score_thr_default', threshold)
    expected.update({f'test.{name}': value for name, value in test.items()})
  found = {path: read(model, path) for path in expected}
  return [
    f'config.model.{path} is {found[path]}, recorded with {value}'
    for path, value in expected.items()
    if not _same(found[path], value)
  ]


def recorded_test(model: ConfigDict, case: Case) -> dict[str, float]:
  """Recorded settings of detection, by names of `config.model.test`."""
  names = {'score_threshold': 'score_thr', 'iou': 'nms_iou', 'detections': 'max_per_img'}
  unread = UNREAD.get(model.get('head', {}).get('name'), ())
  return {ours: case.meta[name] for ours, name in names.items() if case.meta[name] is not None and ours not in unread}


def _take_everything_in_fewer_rows(model: ConfigDict) -> None:
  """Samples as many RoIs as there can be, of which a quarter may be positive: losses are the same.

  With `sampler.num` 0 RoI tasks would see every RoI, mostly background, which takes ten times as long.
  """
  if 'roi' in model and model.roi.sampler.num == 0 and model.roi.tasks and model.proposals.name != 'given':
    model.roi.sampler.update(num=model.proposals.train_proposals.post_nms_topk + OBJECTS, positive_fraction=0.25)


def _still_batch_norm(tree: ConfigDict) -> None:
  """Makes batch norms use running statistics in training too, as in recorded runs."""
  for key, value in tree.items():
    if isinstance(value, ConfigDict):
      _still_batch_norm(value)
    elif key == 'norm' and value == 'sync_bn':
      tree[key] = 'bn_eval'


def _without_chance(model: ConfigDict) -> None:
  """Turns off dropout and random RoI jitter, which recorded runs do not have."""
  for part in ('encoder', 'decoder'):
    if part in model:
      model[part].dropout = 0.0
  if 'grid_points' in model.get('roi', {}):
    model.roi.grid_points.jitter = 0.0


def _same(a, b) -> bool:
  if isinstance(b, tuple):
    return len(a) == len(b) and all(map(_same, a, b))
  return abs(a - b) <= 1e-6 * abs(b) if isinstance(b, float) else a == b
