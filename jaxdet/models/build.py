"""From a config to a detector: one table a role, from a name to what makes it."""

import jax.numpy as jnp
from ml_collections import ConfigDict, FrozenConfigDict

from jaxdet.models.backbones.resnet import ResNet
from jaxdet.models.dense_heads.rpn_head import RPNHead
from jaxdet.models.detectors.mask_rcnn import MaskRCNN
from jaxdet.models.necks.fpn import FPN
from jaxdet.models.roi_heads.conv_mask_head import ConvMaskHead
from jaxdet.models.roi_heads.fc_box_head import FCBoxHead

BACKBONES = {'resnet': ResNet}
NECKS = {'fpn': FPN}
BOX_HEADS = {'fc': FCBoxHead}
MASK_HEADS = {'conv': ConvMaskHead}


def mask_rcnn(config: FrozenConfigDict) -> MaskRCNN:
  """Mask R-CNN from `config.model`."""
  dtype = jnp.dtype(config.dtype)
  box_head = _without(config.roi.box_head, 'roi_size')
  mask_head = _without(config.roi.mask_head, 'roi_size')
  num_anchors = len(config.rpn.anchors.sizes[0]) * len(config.rpn.anchors.aspect_ratios)
  return MaskRCNN(
    settings=config,
    backbone=_make(BACKBONES, config.backbone, dtype=dtype),
    neck=_make(NECKS, config.neck, dtype=dtype),
    rpn_head=RPNHead(config.rpn.num_convs, config.rpn.channels, num_anchors, dtype),
    box_head=_make(BOX_HEADS, box_head, num_classes=config.num_classes, dtype=dtype),
    mask_head=_make(MASK_HEADS, mask_head, num_classes=config.num_classes, dtype=dtype) if mask_head['name'] else None,
  )


DETECTORS = {'mask_rcnn': mask_rcnn}


def build_detector(config: ConfigDict, num_classes: int):
  """The detector that `config.model` describes, for `num_classes` classes.

  Raises:
    ValueError: where a name is in no table.
  """
  settings = ConfigDict(config.to_dict())
  settings.num_classes = num_classes
  return _find(DETECTORS, config.name)(FrozenConfigDict(settings))


def _find(table: dict, name: str):
  if name not in table:
    raise ValueError(f"no model part is called '{name}': choose one of {', '.join(sorted(table))}")
  return table[name]


def _make(table: dict, settings, **kwargs):
  return _find(table, settings['name'])(**_without(settings, 'name'), **kwargs)


def _without(settings, key: str) -> dict:
  return {k: v for k, v in settings.items() if k != key}
