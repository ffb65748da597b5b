"""From a config to a detector: one table a role, from a name to what makes it."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict, FrozenConfigDict

from jaxdet.losses.class_loss import ClassLoss, make_class_loss
from jaxdet.models.backbones.resnet import ResNet
from jaxdet.models.dense_heads.rpn_head import RPNHead
from jaxdet.models.dense_heads.two_tower_head import TwoTowerHead
from jaxdet.models.detectors.atss import ATSS
from jaxdet.models.detectors.cascade_rcnn import CascadeRCNN
from jaxdet.models.detectors.deformable_detr import DeformableDETR
from jaxdet.models.detectors.dense import DenseDetector
from jaxdet.models.detectors.detr import DETR
from jaxdet.models.detectors.fcos import FCOS
from jaxdet.models.detectors.gfl import GFL
from jaxdet.models.detectors.level_anchors import anchors_per_cell
from jaxdet.models.detectors.mask_rcnn import MaskRCNN
from jaxdet.models.detectors.proposal_network import ProposalNetwork
from jaxdet.models.detectors.query import QueryDetector
from jaxdet.models.detectors.rcnn import RCNN
from jaxdet.models.detectors.retinanet import RetinaNet
from jaxdet.models.detectors.set_prediction import is_sigmoid
from jaxdet.models.necks.channel_mapper import ChannelMapper
from jaxdet.models.necks.fpn import FPN
from jaxdet.models.necks.single import SingleLevel
from jaxdet.models.roi_heads.conv_fc_box_head import ConvFCBoxHead
from jaxdet.models.roi_heads.conv_mask_head import ConvMaskHead
from jaxdet.models.roi_heads.deformable_roi_pool import DeformableRoIPool
from jaxdet.models.roi_heads.res5_head import Res5Head
from jaxdet.models.transformers.deformable import DeformableDecoder, DeformableEncoder, QueryProposals
from jaxdet.models.transformers.detr import DetrDecoder, DetrEncoder

BACKBONES = {'resnet': ResNet}
NECKS = {'channel_mapper': ChannelMapper, 'fpn': FPN, 'single': SingleLevel}
SHARED_HEADS = {'res5': Res5Head}
BOX_HEADS = {'conv_fc': ConvFCBoxHead}
MASK_HEADS = {'conv': ConvMaskHead}
DENSE_HEADS = {'two_tower': TwoTowerHead}
DENSE_METHODS = {'retinanet': RetinaNet, 'fcos': FCOS, 'atss': ATSS, 'gfl': GFL}


def proposal_network(config: FrozenConfigDict) -> ProposalNetwork:
  """A region proposal network alone."""
  return ProposalNetwork(config, _features(config), class_loss=None)


def mask_rcnn(config: FrozenConfigDict) -> MaskRCNN:
  """Mask R-CNN; Faster R-CNN where `roi.mask_head.name` is '', Fast R-CNN where `rpn.name` is '' too."""
  class_loss = make_class_loss(config.roi.class_loss, config.num_classes, config.class_counts)
  heads = _roi_heads(config, class_loss, box_heads=('',), mask_heads=('',))
  return MaskRCNN(config, _features(config) | _roi_pool(config) | heads, class_loss)


def cascade_rcnn(config: FrozenConfigDict) -> CascadeRCNN:
  """Cascade Mask R-CNN; without masks where `roi.mask_head.name` is ''."""
  cascade = config.roi.cascade
  if config.roi.deformable_pooling:
    raise ValueError('deformable pooling belongs to one stage, not to a cascade: set roi.deformable_pooling to nothing')
  stages = [str(k) for k in range(len(cascade.ious))]
  mask_heads = stages if cascade.mask_heads == 'every' else stages[:1]
  class_loss = make_class_loss(config.roi.class_loss, config.num_classes, config.class_counts)
  return CascadeRCNN(config, _features(config) | _roi_heads(config, class_loss, stages, mask_heads), class_loss)


def dense_detector(config: FrozenConfigDict) -> DenseDetector:
  """A dense one-stage detector; `head.name` says which."""
  method = _find(DENSE_METHODS, config.head.name)(config.head, config.num_classes)
  head = _make(
    DENSE_HEADS,
    config.head.network,
    num_classes=config.num_classes,
    num_anchors=anchors_per_cell(config.head),
    box_channels=method.box_channels,
    dtype=jnp.dtype(config.dtype),
  )
  return DenseDetector(config, _backbone_and_neck(config) | {'head': head}, method)


def detr(config: FrozenConfigDict) -> DETR:
  """DETR."""
  return DETR(config, _backbone_and_neck(config) | _transformer(config, DetrEncoder, DetrDecoder))


def deformable_detr(config: FrozenConfigDict) -> DeformableDETR:
  """Deformable DETR, of two stages where `proposals.name` is not ''."""
  networks = _backbone_and_neck(config) | _transformer(config, DeformableEncoder, DeformableDecoder)
  if config.proposals.name:
    networks['proposals'] = QueryProposals(config.num_classes, jnp.dtype(config.dtype))
  return DeformableDETR(config, networks)


DETECTORS = {
  'mask_rcnn': mask_rcnn,
  'cascade_rcnn': cascade_rcnn,
  'proposal_network': proposal_network,
  'dense': dense_detector,
  'detr': detr,
  'deformable_detr': deformable_detr,
}


def build_detector(config: ConfigDict, num_classes: int) -> RCNN | DenseDetector | QueryDetector:
  """The detector that `config.model` describes, for `num_classes` classes.

  Raises:
    ValueError: where a name is in no table.
  """
  settings = ConfigDict(config.to_dict())
  settings.num_classes = num_classes
  return _find(DETECTORS, config.name)(FrozenConfigDict(settings))


def _features(config: FrozenConfigDict) -> dict:
  """Backbone, neck and, unless `rpn.name` is '', the head of the region proposal network."""
  networks = _backbone_and_neck(config)
  if config.rpn.name:
    rpn = config.rpn
    networks['rpn_head'] = RPNHead(rpn.num_convs, rpn.channels, anchors_per_cell(rpn), jnp.dtype(config.dtype))
  return networks


def _backbone_and_neck(config: FrozenConfigDict) -> dict:
  dtype = jnp.dtype(config.dtype)
  return {
    'backbone': _make(BACKBONES, config.backbone, remat=config.remat, dtype=dtype),
    'neck': _make(NECKS, config.neck, dtype=dtype),
  }


def _transformer(config: FrozenConfigDict, encoder: type[nn.Module], decoder: type[nn.Module]) -> dict:
  """Encoder and decoder of a query detector."""
  shared = {'remat': config.remat, 'dtype': jnp.dtype(config.dtype)}
  num_logits = config.num_classes + (not is_sigmoid(config))
  return {
    'encoder': encoder(**config.encoder, **shared),
    'decoder': decoder(**config.decoder, num_logits=num_logits, **shared),
  }


def _roi_pool(config: FrozenConfigDict) -> dict:
  """The layer that pools regions for the box head, where that is one that learns."""
  roi = config.roi
  if not roi.deformable_pooling:
    return {}
  settings = {key: roi[key] for key in ('sampling_ratio', 'canonical_size', 'canonical_level')}
  size, dtype = roi.box_head.roi_size, jnp.dtype(config.dtype)
  return {'roi_pool': DeformableRoIPool(roi.deformable_pooling, size, **settings, dtype=dtype)}


def _roi_heads(
  config: FrozenConfigDict, class_loss: ClassLoss, box_heads: Sequence[str], mask_heads: Sequence[str]
) -> dict:
  """Shared, box and mask heads as far as there are any, with these at the ends of their names."""
  shared = {'num_classes': config.num_classes, 'dtype': jnp.dtype(config.dtype)}
  box_head = _without(config.roi.box_head, 'roi_size', 'retrain_classifier')
  box_head |= {'num_logits': class_loss.columns, 'class_bias': class_loss.bias}
  mask_head = _without(config.roi.mask_head, 'roi_size')
  networks = {}
  if config.roi.shared_head:
    backbone = _make(BACKBONES, config.backbone, remat=config.remat, dtype=shared['dtype'])
    networks['shared_head'] = _find(SHARED_HEADS, config.roi.shared_head)(backbone)
  networks |= {f'box_head{end}': _make(BOX_HEADS, box_head, **shared) for end in box_heads}
  if mask_head['name']:
    networks |= {f'mask_head{end}': _make(MASK_HEADS, mask_head, **shared) for end in mask_heads}
  return networks


def _find(table: dict, name: str):
  if name not in table:
    raise ValueError(f"no model part is called '{name}': choose one of {', '.join(sorted(table))}")
  return table[name]


def _make(table: dict, settings, **kwargs):
  return _find(table, settings['name'])(**_without(settings, 'name'), **kwargs)


def _without(settings, *keys: str) -> dict:
  return {k: v for k, v in settings.items() if k not in keys}
