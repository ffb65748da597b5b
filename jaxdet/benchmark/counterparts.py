"""Finds the torchvision model and settings that do the same work as a config."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from jaxdet.models.layers.frozen import is_frozen

MODELS = (
  'fasterrcnn_resnet50_fpn',
  'fasterrcnn_resnet50_fpn_v2',
  'maskrcnn_resnet50_fpn',
  'maskrcnn_resnet50_fpn_v2',
  'retinanet_resnet50_fpn',
  'retinanet_resnet50_fpn_v2',
  'fcos_resnet50_fpn',
)
OF_DENSE = {'retinanet': 'retinanet_resnet50_fpn', 'fcos': 'fcos_resnet50_fpn'}  # by head.name
# Choices that make both programs do the same work, for reports.
CHOICES = (
  'random weights; images that fill the canvas, on the device; both get the same images, boxes, classes and masks',
  'torchvision neither resizes images nor pastes masks into them, which is no part of the predictions here',
  'backbone: frozen batch norm and frozen stages as in the config',
  'proposals, samples, regions, overlaps and detections: as many as the config says',
  "suppression: jaxdet's score threshold is 0, so that all test.pre_nms_topk (box, class) pairs enter; R-CNNs of "
  'torchvision get the threshold that lets in as many, dense detectors take test.pre_nms_topk a level in both',
  'the mask heads see positive regions alone in training; how many regions the heads of torchvision see is in the '
  'records (regions_an_image)',
)


@dataclasses.dataclass(frozen=True)
class Counterpart:
  """A torchvision model, as torchvision_program.py makes it."""

  model: str  # of MODELS
  num_classes: int  # columns of its logits
  first_label: int  # label of the first class
  settings: dict[str, Any]  # keyword arguments of the model
  sampling_ratio: int | None  # of RoIAlign, 0: adaptive; None: no RoIAlign
  candidates: int | None  # (box, class) pairs per image before NMS; None: set by `settings`
  frozen_stages: int  # of the backbone; -1: none
  norm: str  # of the backbone
  optimizer: dict[str, Any]


def counterpart(config: ConfigDict, model: str | None = None) -> Counterpart:
  """Finds the counterpart of a config.

  Args:
    config: complete, with the number of classes.
    model: of MODELS; None: chosen by the kind of detector.

  Raises:
    ValueError: torchvision has no such detector.
  """
  model = model or _model(config)
  if model not in MODELS:
    raise ValueError(f"unknown --torchvision_model '{model}': choose one of {', '.join(MODELS)}")
  of_regions = 'rcnn' in model
  if of_regions != ('roi' in config.model):
    raise ValueError(f'--torchvision_model {model} has no settings in common with a {config.model.name} detector')
  settings = config.model
  optimizer = config.train.optimizer
  return Counterpart(
    model=model,
    num_classes=settings.num_classes + of_regions,
    first_label=int(of_regions),
    settings=_of_regions(settings) if of_regions else _dense(settings),
    sampling_ratio=settings.roi.pooler.sampling_ratio if of_regions else None,
    candidates=settings.test.pre_nms_topk if of_regions else None,
    frozen_stages=_frozen_stages(settings.frozen),
    norm=settings.backbone.norm,
    optimizer={
      'name': optimizer.name,
      'momentum': optimizer.momentum,
      'weight_decay': optimizer.weight_decay,
      'clip_norm': optimizer.clip_norm,
    },
  )


def _model(config: ConfigDict) -> str:
  """Chooses a model by the kind of detector."""
  model = config.model
  name = model.head.name if model.name == 'dense' else model.name
  plain_stages = model.name == 'two_stage' and 'cascade' not in model.roi and 'pyramid_tasks' not in model
  if plain_stages and model.proposals.name == 'rpn':
    found = 'maskrcnn_resnet50_fpn' if 'mask' in model.roi.tasks else 'fasterrcnn_resnet50_fpn'
  else:
    found = OF_DENSE.get(name) if model.name == 'dense' else None
  backbone = model.backbone
  plain = (backbone.depth, backbone.groups, backbone.conv3x3.name, model.neck.name) == (50, 1, 'plain', 'fpn')
  if found is None or not plain:
    raise ValueError(
      f'torchvision has no {name} on a {model.neck.name} neck and this backbone (depth {backbone.depth}): leave --vs '
      f'out, or give --torchvision_model, one of {", ".join(MODELS)}'
    )
  return found


def _frozen_stages(patterns: Sequence[str]) -> int:
  """Number of frozen stages; 0: only the stem, -1: nothing."""
  parts = ['stem', *(f'stage{level}' for level in range(2, 6))]
  return next((k for k, part in enumerate(parts) if not is_frozen(f'backbone/{part}', patterns)), len(parts)) - 1


def _of_regions(model: ConfigDict) -> dict[str, Any]:
  """Settings of Faster and Mask R-CNN."""
  rpn, roi, test = model.proposals, model.roi, model.test
  return {
    'rpn_pre_nms_top_n_train': rpn.train_proposals.pre_nms_topk,
    'rpn_pre_nms_top_n_test': rpn.test_proposals.pre_nms_topk,
    'rpn_post_nms_top_n_train': rpn.train_proposals.post_nms_topk,
    'rpn_post_nms_top_n_test': rpn.test_proposals.post_nms_topk,
    'rpn_nms_thresh': rpn.test_proposals.iou,
    'rpn_fg_iou_thresh': rpn.matcher.positive_iou,
    'rpn_bg_iou_thresh': rpn.matcher.negative_iou,
    'rpn_batch_size_per_image': rpn.sampler.num,
    'rpn_positive_fraction': rpn.sampler.positive_fraction,
    'box_nms_thresh': test.iou,
    'box_detections_per_img': test.detections,
    'box_fg_iou_thresh': roi.matcher.positive_iou,
    'box_bg_iou_thresh': roi.matcher.negative_iou,
    'box_batch_size_per_image': roi.sampler.num,
    'box_positive_fraction': roi.sampler.positive_fraction,
  }


def _dense(model: ConfigDict) -> dict[str, Any]:
  """Settings of RetinaNet and FCOS."""
  test = model.test
  return {
    'score_thresh': 0.0,
    'nms_thresh': test.iou,
    'topk_candidates': test.pre_nms_topk,
    'detections_per_img': test.detections,
  }
