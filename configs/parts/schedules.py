"""Schedules: steps, images per step and learning rate; and optimizers.

DETECTRON2 and MMDET list each program's schedules by data set; the first one is the data set's default, and other
schedules are refused. Detectron2 counts steps, mmdetection epochs.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from configs.parts.datasets import DATASETS

NONE: Mapping[str, Any] = MappingProxyType({})

# Patterns of parameter paths; norms have biases too, so their pattern comes first.
NORMS = r'(?i)(^|/)(\w*norm|bn|gn|ln)_?\d*/(scale|bias)$'
BIASES = r'(^|/)bias$'
WEIGHTS = r'(^|/)(kernel|embedding)$|(^|/)(logits|calibration)/scale$|(^|/)(rpn_)?head/scale\d+$'


def training(
  *,
  steps: int,
  milestones: tuple[int, ...],
  base_lr: float,
  optimizer: dict,
  batch_size: int = 16,
  warmup: str = 'linear',
  warmup_steps: int = 1000,
  warmup_factor: float = 0.001,
) -> dict:
  """A run: `config.train`.

  Args:
    steps: length of the run.
    milestones: steps after which the rate falls to a tenth.
    base_lr: learning rate for `batch_size` images per step.
    optimizer: from this file.
    batch_size: images over all devices.
    warmup: 'linear': from warmup_factor times the rate; 'constant': at it.
    warmup_steps, warmup_factor: length and initial factor of the warm-up.
  """
  return {
    'steps': steps,
    'batch_size': batch_size,
    'accumulate': 1,  # micro-batches per step
    'optimizer': optimizer,
    'schedule': {
      'name': 'multistep',  # or 'cosine'
      'base_lr': base_lr,
      'base_batch_size': batch_size,  # the learning rate is base_lr * train.batch_size / base_batch_size
      'milestones': milestones,
      'gamma': 0.1,
      'warmup': warmup,
      'warmup_steps': warmup_steps,
      'warmup_factor': warmup_factor,
    },
    'ema_decay': 0.0,  # 0: none
    'init_from': '',  # checkpoint of initial parameters, used if names and shapes agree
    'init_except': (),  # patterns of arrays that are not loaded, such as 'params/box_head*/logits/*'
    'log_every': 20,
    'checkpoint_every': 5000,
    'keep_checkpoints': 3,
    'eval_every': 0,  # steps; 0: at the end
  }


def sgd(
  *,
  weight_decay: float = 1e-4,
  norm_decay: float = 0.0,
  bias_decay: float = 1.0,
  clip_norm: float = 0.0,
  lr_factors: Mapping[str, float] = NONE,
) -> dict:
  """Detectron2's SGD.

  Args:
    weight_decay: of weights.
    norm_decay: factor of weight_decay for norms; mmdetection: 1.
    bias_decay: factor of weight_decay for the biases of other layers; mmdetection's FCOS: 0.
    clip_norm: largest global gradient norm; 0: no clipping.
    lr_factors: factors by regular expressions found in parameter paths: {'^backbone/': 0.1}.
  """
  return {
    'name': 'sgd',
    'momentum': 0.9,
    'weight_decay': weight_decay,
    # The first pattern found in a parameter's path counts; a parameter without a pattern is an error.
    'decay_factors': ((NORMS, norm_decay), (BIASES, bias_decay), (WEIGHTS, 1.0)),
    'clip_norm': clip_norm,
    'lr_factors': dict(lr_factors),
  }


def adamw(*, clip_norm: float, lr_factors: Mapping[str, float]) -> dict:
  """AdamW of DETR-like detectors: all parameters decay."""
  settings = sgd(norm_decay=1.0, clip_norm=clip_norm, lr_factors=lr_factors)
  return {**settings, 'name': 'adamw'}  # momentum is only for 'sgd'


def adam(*, clip_norm: float) -> dict:
  """Adam: nothing decays."""
  return {**sgd(weight_decay=0.0, clip_norm=clip_norm), 'name': 'adamw'}


def epochs(count: int, milestones: tuple[int, ...], images: int, batch_size: int = 16) -> dict:
  """Converts epochs to steps; the last batch of an epoch may be smaller."""
  per_epoch = -(-images // batch_size)
  return {
    'steps': count * per_epoch,
    'milestones': tuple(epoch * per_epoch for epoch in milestones),
    'batch_size': batch_size,
  }


def jittered(count: int, shares: tuple[float, ...], images: int) -> dict:
  """Schedule of large-scale jitter, with 64 images per step; the rate falls after these shares of the steps."""
  steps = count * images // 64
  return {
    'steps': steps,
    'milestones': tuple(int(share * steps) for share in shares),
    'batch_size': 64,
  }


OF_COCO = {
  '1x': {'steps': 90_000, 'milestones': (60_000, 80_000)},
  '2x': {'steps': 180_000, 'milestones': (120_000, 160_000)},
  '3x': {'steps': 270_000, 'milestones': (210_000, 250_000)},
}
OF_VOC = {'steps': 18_000, 'milestones': (12_000, 16_000), 'warmup_steps': 100}

DETECTRON2 = {
  'coco': {
    **OF_COCO,
    '9x': {'steps': 202_500, 'milestones': (187_500, 197_500), 'batch_size': 64, 'base_lr': 0.08},  # from scratch
    '135k': {'steps': 135_000, 'milestones': (105_000, 125_000), 'batch_size': 32, 'base_lr': 0.04},
  },
  'lvis_v1': {'1x': OF_COCO['2x'], '2x': {'steps': 360_000, 'milestones': (240_000, 320_000)}},
  'lvis_v0.5': OF_COCO,
  'cityscapes': {'24k': {'steps': 24_000, 'milestones': (18_000,), 'batch_size': 8, 'base_lr': 0.01}},
  'voc': {'18k': OF_VOC},
}


def of_mmdet(dataset: str) -> dict:
  """mmdetection's schedules of a large data set."""
  images = DATASETS[dataset].images
  return {
    '1x': epochs(12, (8, 11), images),
    '2x': epochs(24, (16, 22), images),
    '3x': epochs(36, (27, 33), images),
    '6x': epochs(73, (65, 71), images),  # from scratch
    '20e': epochs(20, (16, 19), images),
    '24e': epochs(24, (20, 23), images),
    '36e': epochs(36, (28, 34), images),
    '120e': epochs(24, (16, 22), 5 * images, batch_size=64),  # each epoch repeats the images five times
    '90k': OF_COCO['1x'],
    '200ep': {
      **jittered(200, (22 / 25, 24 / 25), images),
      'base_lr': 0.04,
      'weight_decay': 4e-5,
      'warmup_steps': 1000,
      'warmup_factor': 0.067,
    },
  }


MMDET = {  # epochs include mmdetection's repetitions of a data set
  'coco': of_mmdet('coco'),
  'lvis_v1': of_mmdet('lvis_v1'),
  'lvis_v0.5': of_mmdet('lvis_v0.5'),
  'cityscapes': {'1x': {**epochs(64, (56,), DATASETS['cityscapes'].images, batch_size=8), 'base_lr': 0.01}},
  'voc': {'1x': {**epochs(12, (9,), DATASETS['voc'].images), 'base_lr': 0.01, 'warmup_steps': 0}},
  'voc_ms': {'18k': OF_VOC},
  'deepfashion': {'15e': epochs(30, (16, 22), DATASETS['deepfashion'].images)},
}


def chosen(schedules: Mapping[str, Mapping[str, dict]], dataset: str, schedule: str) -> dict:
  """Finds a schedule of a data set; '': its first.

  Raises:
    ValueError: there is no such schedule; the message lists the data set's schedules.
  """
  found = schedules[dataset]
  if schedule and schedule not in found:
    raise ValueError(f"dataset '{dataset}' has no schedule '{schedule}' here: choose one of {', '.join(found)}")
  return found[schedule or next(iter(found))]


def detectron2(dataset: str, schedule: str = '', *, base_lr: float = 0.02) -> dict:
  """Detectron2's run: norms do not decay. A schedule's values have priority over `base_lr`, the rate for 16 images."""
  return training(**{'base_lr': base_lr} | chosen(DETECTRON2, dataset, schedule), optimizer=sgd())


def mmdet(
  dataset: str, schedule: str = '', *, base_lr: float = 0.02, warmup: Mapping = NONE, optimizer: Mapping = NONE
) -> dict:
  """mmdetection's run: norms decay, and the warm-up takes 500 steps.

  Args:
    dataset, schedule: names in MMDET; a schedule's values have priority.
    base_lr: learning rate for 16 images per step.
    warmup: of `training`.
    optimizer: of `sgd`.
  """
  settings = {'base_lr': base_lr, 'warmup_steps': 500, **warmup, **chosen(MMDET, dataset, schedule)}
  decay = settings.pop('weight_decay', 1e-4)
  return training(**settings, optimizer=sgd(**{'weight_decay': decay, 'norm_decay': 1.0} | optimizer))
