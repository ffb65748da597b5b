"""Translates overrides of upstream configs to changes of jaxdet's.

A change writes into `config.model`. An override that cannot be expressed there raises an error, so that the case does
not run on a wrong model. The tables of upstream keys are in override_detectron2.py and override_mmdet.py.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxdet.training.config_0_1 import frozen_stages

EVERYTHING = 4096  # a sampler of at least so many rows takes all rows: `sampler.num` 0
# Settings of an RPN that other proposal generators do not have, though upstream's configs do.
UNREAD_PROPOSALS = {'given': ('proposals.',), 'dense': ('proposals.sampler.', 'proposals.matcher.', 'proposals.border')}
Change = Callable[[ConfigDict, Any], None]

NORMS = {'': '', 'FrozenBN': 'frozen_bn', 'BN': 'sync_bn', 'SyncBN': 'sync_bn', 'naiveSyncBN': 'sync_bn', 'GN': 'gn'}
DECAYS = {'naive': 'hard', 'linear': 'linear', 'gaussian': 'gaussian'}  # mmdetection's `method` of soft NMS
LOW_QUALITY = {True: 'gt_claims', False: 'off'}  # mmdetection's `match_low_quality`


def put(*paths: str) -> Change:
  """Makes a change that writes the value at these paths below `config.model`."""

  def change(config: ConfigDict, value) -> None:
    for path in paths:
      write(config.model, path, value)

  return change


def put_each(*paths: str) -> Change:
  """Makes a change that writes the elements of a value at these paths."""

  def change(config: ConfigDict, values) -> None:
    for path, value in zip(paths, values, strict=True):
      write(config.model, path, value)

  return change


def choose(path: str, values: Mapping[Any, Any]) -> Change:
  """Makes a change that writes the jaxdet value for an upstream value.

  Raises:
    ValueError: for an unknown value.
  """

  def change(config: ConfigDict, value) -> None:
    if value not in values:
      raise ValueError(f"nothing is known of the value '{value}', which belongs to config.model.{path}")
    write(config.model, path, values[value])

  return change


def put_iou(path: str) -> Change:
  """Makes a change for Detectron2's matcher thresholds: one, or one for negatives and one for positives."""
  return lambda config, values: put_each(f'{path}.negative_iou', f'{path}.positive_iou')(
    config, [values[0], values[-1]]
  )


def sample(path: str) -> Change:
  """Makes a change that sets the number of rows of a sampler."""
  return lambda config, value: write(config.model, path, 0 if value >= EVERYTHING else value)


def both(*changes: Change) -> Change:
  def change(config: ConfigDict, value) -> None:
    for each in changes:
      each(config, value)

  return change


def padded(config: ConfigDict, value) -> None:
  """Images are smaller than their canvas and lie at its top left.

  mmdetection's YOLACT takes boxes as a share of the image all the same; its CornerNet looks at images with a margin
  otherwise.
  """
  head = config.model.get('head', {}).get('name')
  if head == 'yolact':
    config.model.head.masks.extent = 'image'
  elif head == 'cornernet':
    config.model.test.margin = 0


def pixel_std(config: ConfigDict, value) -> None:
  """Writes the pixel deviations, which upstream has in its channel order."""
  config.model.pixel_std = tuple(value[:: -1 if config.model.channel_order == 'BGR' else 1])


def mask_format(config: ConfigDict, value) -> None:
  """Switches polygons off for bitmap masks."""
  if value == 'bitmask':
    config.data.max_vertices = 0


def frozen_parts(stem: int) -> Change:
  """Makes a change that freezes the stem and the stages up to a number; the stem's number is `stem`."""
  return lambda config, value: setattr(config.model, 'frozen', frozen_stages(value - stem))


def cell_sizes(config: ConfigDict, value) -> None:
  """Writes anchor sizes from mmdetection's scales, which are relative to the levels' strides."""
  anchors = config.model.proposals.anchors
  first = config.model.neck.level if config.model.neck.name == 'single' else min(config.model.neck.levels)
  strides = [2 ** (first + k) for k in range(len(anchors.sizes))]
  anchors.sizes = tuple(tuple(scale * stride for scale in value) for stride in strides)


def coder_weights(path: str) -> Change:
  """Makes a change that writes coder weights, the reciprocals of mmdetection's deviations."""
  return lambda config, value: write(config.model, path, tuple(1 / deviation for deviation in value))


def iou_losses(path: str) -> Change:
  """Makes a change that writes a regression loss by Detectron2's name."""
  names = {name: name for name in ('smooth_l1', 'giou', 'diou', 'ciou')}
  return choose(f'{path}.name', names)


def federated(config: ConfigDict, value) -> None:
  """Writes Detectron2's federated loss; its sigmoids are another override."""
  if value:
    config.model.roi.class_loss = {'name': 'federated', 'slots': 50, 'power': 0.5}


def nothing(config: ConfigDict, value) -> None:
  """Changes nothing, for overrides that do not affect the model."""


def read(model: ConfigDict, path: str):
  for key in path.split('.'):
    model = model[key]
  return model


def write(model: ConfigDict, path: str, value) -> None:
  """Writes a value below `config.model`; skips overrides of parts that the model does not have (an RPN alone)."""
  *parents, key = path.split('.')
  if parents and model.get(parents[0]) is None:
    return
  if parents[:1] == ['proposals'] and path.startswith(UNREAD_PROPOSALS.get(model.proposals.name, ())):
    return
  if key == 'mask_head' or 'mask_head' in parents and 'mask_head' not in model.roi:
    return
  node = read(model, '.'.join(parents)) if parents else model
  if key not in node:
    raise KeyError(f'the config has no model.{path}, which the recorded run overrides')
  with node.ignore_type():
    node[key] = _frozen(value)


def _frozen(value):
  return tuple(map(_frozen, value)) if isinstance(value, list) else value
