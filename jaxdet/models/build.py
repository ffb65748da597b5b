"""Builds detectors from configs: one table per role, from a name to the function that makes the part.

A part is made from its own settings and from `Shared`, the settings that all parts have in common.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict, FrozenConfigDict

from jaxdet.losses.class_loss import make_class_loss
from jaxdet.models.backbones.hourglass import Hourglass
from jaxdet.models.backbones.resnet import ResNet
from jaxdet.models.backbones.vgg import VGG
from jaxdet.models.box_stages.double import DoubleStage
from jaxdet.models.box_stages.dynamic import DynamicStage
from jaxdet.models.box_stages.hard_examples import HardExampleStage
from jaxdet.models.box_stages.standard import SHARED_HEAD, StandardStage
from jaxdet.models.dense_heads.corner_head import CornerHead
from jaxdet.models.dense_heads.protonet import Protonet
from jaxdet.models.dense_heads.semantic_fpn_head import SemanticFPNHead
from jaxdet.models.dense_heads.ssd_head import SSDHead
from jaxdet.models.dense_heads.two_tower_head import TwoTowerHead
from jaxdet.models.dense_heads.yolact_head import YOLACTHead
from jaxdet.models.dense_methods.atss import ATSS
from jaxdet.models.dense_methods.cornernet import CornerNet
from jaxdet.models.dense_methods.fcos import FCOS
from jaxdet.models.dense_methods.gfl import GFL
from jaxdet.models.dense_methods.method import DenseMethod
from jaxdet.models.dense_methods.retinanet import RetinaNet
from jaxdet.models.dense_methods.ssd import SSD
from jaxdet.models.dense_methods.yolact import YOLACT
from jaxdet.models.detectors.deformable_detr import PROPOSALS, DeformableDETR
from jaxdet.models.detectors.dense import MASK_BRANCH, DenseDetector
from jaxdet.models.detectors.detr import DETR
from jaxdet.models.detectors.mirror_test import MirrorTest
from jaxdet.models.detectors.proposal_network import ProposalNetwork
from jaxdet.models.detectors.pyramid_network import PyramidNetwork
from jaxdet.models.detectors.set_prediction import is_sigmoid
from jaxdet.models.detectors.two_stage import Cascade, ProposalGenerator, TwoStage
from jaxdet.models.forward import Detector
from jaxdet.models.necks.balanced import balanced_fpn
from jaxdet.models.necks.channel_mapper import ChannelMapper
from jaxdet.models.necks.fpn import FPN
from jaxdet.models.necks.pafpn import PAFPN
from jaxdet.models.necks.single import SingleLevel
from jaxdet.models.necks.ssd_neck import SSDNeck
from jaxdet.models.necks.unchanged import Unchanged
from jaxdet.models.poolers.deformable import NETWORK, DeformablePooler
from jaxdet.models.poolers.roi_align import RoIAlign
from jaxdet.models.preprocess import Preprocess
from jaxdet.models.proposals.dense import DenseProposals
from jaxdet.models.proposals.given import Given
from jaxdet.models.proposals.rpn import HEAD as RPN_HEAD
from jaxdet.models.proposals.rpn import make_rpn
from jaxdet.models.pyramid_tasks.semantic import NETWORK as SEMANTIC_HEAD
from jaxdet.models.pyramid_tasks.semantic import SemanticTask
from jaxdet.models.pyramid_tasks.task import PyramidTask
from jaxdet.models.roi_heads.conv_fc_box_head import ConvFCBoxHead
from jaxdet.models.roi_heads.conv_mask_head import ConvMaskHead
from jaxdet.models.roi_heads.deformable_roi_pool import DeformableRoIPool
from jaxdet.models.roi_heads.double_head import DoubleHead
from jaxdet.models.roi_heads.grid_head import GridHead
from jaxdet.models.roi_heads.mask_iou_head import MaskIoUHead
from jaxdet.models.roi_heads.res5_head import Res5Head
from jaxdet.models.roi_targets import most_positives
from jaxdet.models.roi_tasks.grid_points import GRID_HEAD, GridPointsTask
from jaxdet.models.roi_tasks.mask import MaskTask
from jaxdet.models.roi_tasks.mask_scoring import MASK_IOU_HEAD, MaskScoringTask
from jaxdet.models.transformers.deformable import DeformableDecoder, DeformableEncoder, QueryProposals
from jaxdet.models.transformers.detr import DetrDecoder, DetrEncoder
from jaxdet.parts import find


@dataclasses.dataclass(frozen=True, eq=False)
class Shared:
  """Settings common to all parts of a model."""

  num_classes: int
  dtype: jnp.dtype  # of activations
  remat: str  # see layers/remat.py
  frozen: tuple[str, ...]  # patterns of frozen parameters
  class_counts: FrozenConfigDict


def roi_align(pooler: FrozenConfigDict, size: int, shared: Shared) -> RoIAlign:
  """RoIAlign to `size` x `size`."""
  return RoIAlign(size=size, **_without(pooler, 'name'))


def deformable_pooler(pooler: FrozenConfigDict, size: int, shared: Shared) -> DeformablePooler:
  """Deformable RoI pooling to `size` x `size`."""
  network = DeformableRoIPool(size=size, **_without(pooler, 'name', 'levels', 'aligned'), dtype=shared.dtype)
  return DeformablePooler(pooler.levels, {NETWORK: network})


def box_stage(
  roi: FrozenConfigDict,
  end: str,
  shared_head: Mapping[str, nn.Module],
  shared: Shared,
  stage: type[StandardStage] = StandardStage,
) -> StandardStage:
  """A box stage; `end` is the suffix of its network's name, such as '0' of 'box_head0'."""
  settings, head = roi.box_head, f'box_head{end}'
  class_loss = make_class_loss(roi.class_loss, shared.num_classes, shared.class_counts)
  pooler = find(POOLERS, roi.pooler.name, 'roi.pooler.name')(roi.pooler, settings.roi_size, shared)
  network = find(BOX_HEADS, settings.name, 'roi.box_head.name')(
    **_without(settings, 'name', 'roi_size'),
    num_classes=shared.num_classes,
    num_logits=class_loss.columns,
    class_bias=class_loss.bias,
    dtype=shared.dtype,
  )
  networks = {**pooler.networks, **shared_head, head: network}
  return stage(roi, networks, head, pooler, class_loss, shared.num_classes)


def mask_task(roi: FrozenConfigDict, stages: Sequence[str], shared: Shared) -> MaskTask:
  """The mask task; `stages` are the suffixes of the box stages' names."""
  settings = roi.mask_head
  make = find(MASK_HEADS, settings.name, 'roi.mask_head.name')
  ends = {'first': stages[:1], 'every': stages}
  network = _without(settings, 'name', 'roi_size', 'stages')
  networks = {
    f'mask_head{end}': make(**network, num_classes=shared.num_classes, dtype=shared.dtype)
    for end in find(ends, settings.stages, 'roi.mask_head.stages')
  }
  # Only the box head uses deformable pooling.
  pooler = None if roi.shared_head else roi_align(_without(roi.pooler, 'version'), settings.roi_size, shared)
  return MaskTask(networks, pooler, most_positives(roi.sampler))


def mask_scoring_task(roi: FrozenConfigDict, stages: Sequence[str], shared: Shared) -> MaskScoringTask:
  """The mask task with predicted IoUs, for one box stage."""
  if len(stages) > 1:
    raise ValueError("mask scoring belongs to one box stage, not to a cascade: set roi.tasks to ('mask',)")
  masks, settings = mask_task(roi, stages, shared), roi.mask_iou_head
  make = find(MASK_IOU_HEADS, settings.name, 'roi.mask_iou_head.name')
  network = make(**_without(settings, 'name'), num_classes=shared.num_classes, dtype=shared.dtype)
  networks = {**masks.networks, MASK_IOU_HEAD: network}
  return MaskScoringTask(networks, masks.pooler, masks.most_positives, settings=roi.mask_scoring)


def grid_points_task(roi: FrozenConfigDict, stages: Sequence[str], shared: Shared) -> GridPointsTask:
  """The grid points task, for one box stage."""
  if len(stages) > 1:
    raise ValueError("grid points belong to one box stage, not to a cascade: leave 'grid_points' out of roi.tasks")
  settings = roi.grid_head
  make = find(GRID_HEADS, settings.name, 'roi.grid_head.name')
  network = make(**_without(settings, 'name', 'roi_size'), dtype=shared.dtype)
  counts = [count for count in (most_positives(roi.sampler), roi.grid_points.max_rois) if count]
  pooler = roi_align(_without(roi.pooler, 'version'), settings.roi_size, shared)
  return GridPointsTask(
    roi.grid_points, {GRID_HEAD: network}, pooler, settings.grid_size, min(counts) if counts else None
  )


def semantic_task(settings: FrozenConfigDict, shared: Shared) -> SemanticTask:
  """The semantic task."""
  network = settings.network
  make = find(SEMANTIC_HEADS, network.name, 'pyramid_tasks.semantic.network.name')
  head = make(**_without(network, 'name'), num_classes=settings.num_classes, dtype=shared.dtype)
  return SemanticTask({SEMANTIC_HEAD: head}, settings.loss_weight)


BACKBONES = {'hourglass': Hourglass, 'resnet': ResNet, 'vgg': VGG}
NECKS = {
  'balanced_fpn': balanced_fpn,
  'channel_mapper': ChannelMapper,
  'fpn': FPN,
  'pafpn': PAFPN,
  'single': SingleLevel,
  'ssd_neck': SSDNeck,
  'unchanged': Unchanged,
}
POOLERS = {'roi_align': roi_align, 'deformable': deformable_pooler}
SHARED_HEADS = {'res5': Res5Head}
BOX_STAGES = {
  'double': partial(box_stage, stage=DoubleStage),
  'dynamic': partial(box_stage, stage=DynamicStage),
  'hard_examples': partial(box_stage, stage=HardExampleStage),
  'standard': box_stage,
}
BOX_HEADS = {'conv_fc': ConvFCBoxHead, 'double': DoubleHead}
ROI_TASKS = {'grid_points': grid_points_task, 'mask': mask_task, 'mask_scoring': mask_scoring_task}
MASK_HEADS = {'conv': ConvMaskHead}
MASK_IOU_HEADS = {'conv_fc': MaskIoUHead}
GRID_HEADS = {'fused': GridHead}
PYRAMID_TASKS: dict[str, Callable[[FrozenConfigDict, Shared], PyramidTask]] = {'semantic': semantic_task}
SEMANTIC_HEADS = {'semantic_fpn': SemanticFPNHead}
DENSE_HEADS = {'corner_head': CornerHead, 'ssd_head': SSDHead, 'two_tower': TwoTowerHead, 'yolact': YOLACTHead}
MASK_BRANCHES = {'protonet': Protonet}
DENSE_METHODS = {
  'retinanet': RetinaNet,
  'fcos': FCOS,
  'atss': ATSS,
  'cornernet': CornerNet,
  'gfl': GFL,
  'ssd': SSD,
  'yolact': YOLACT,
}


def two_stage(config: FrozenConfigDict, shared: Shared) -> TwoStage:
  """Fast, Faster, Mask or Cascade R-CNN, depending on the parts."""
  roi = config.roi
  if 'cascade' in roi and roi.pooler.name == 'deformable':
    raise ValueError("deformable pooling belongs to one stage, not to a cascade: set roi.pooler.name to 'roi_align'")
  if 'cascade' in roi and not roi.box_head.get('box_regression', True):
    raise ValueError('the stages of a cascade move boxes: set roi.box_head.box_regression to True')
  settings = cascade_stages(roi) if 'cascade' in roi else (roi,)
  ends = [str(k) for k in range(len(settings))] if len(settings) > 1 else ['']
  base = _backbone_and_neck(config, shared)
  generator = _proposal_generator(config, shared)
  shared_head = {}
  if roi.shared_head:
    backbone = _backbone(config, shared)
    shared_head = {SHARED_HEAD: find(SHARED_HEADS, roi.shared_head, 'roi.shared_head')(backbone)}
  make_stage = find(BOX_STAGES, roi.stage, 'roi.stage')
  stages = tuple(make_stage(each, end, shared_head, shared) for each, end in zip(settings, ends, strict=True))
  tasks = tuple(find(ROI_TASKS, name, 'roi.tasks')(roi, ends, shared) for name in roi.tasks)
  pyramid_tasks = _pyramid_tasks(config, shared)
  parts = [generator, *stages, *tasks, *pyramid_tasks]
  networks = base | {name: network for part in parts for name, network in part.networks.items()}
  cascade = Cascade()
  if 'cascade' in roi:
    cascade = Cascade(roi.cascade.loss_weights, roi.cascade.feature_gradient, roi.cascade.average)
  return TwoStage(_preprocess(config), networks, generator, stages, tasks, cascade, config.test, pyramid_tasks)


def cascade_stages(roi: FrozenConfigDict) -> tuple[FrozenConfigDict, ...]:
  """Returns `config.model.roi` for each stage, with the stage's values of `cascade` inserted."""
  stages = []
  for k, (iou, weights) in enumerate(zip(roi.cascade.ious, roi.cascade.coder_weights, strict=True)):
    settings = ConfigDict(roi.to_dict())
    settings.matcher.positive_iou = settings.matcher.negative_iou = iou
    settings.coder.weights = weights
    if k and not roi.cascade.resample:
      settings.sampler.num, settings.add_ground_truth = 0, False
    stages.append(FrozenConfigDict(settings))
  return tuple(stages)


def proposal_network(config: FrozenConfigDict, shared: Shared) -> ProposalNetwork:
  """A proposal generator alone."""
  generator = _proposal_generator(config, shared)
  return ProposalNetwork(_preprocess(config), _backbone_and_neck(config, shared) | generator.networks, generator)


def pyramid_network(config: FrozenConfigDict, shared: Shared) -> PyramidNetwork:
  """Tasks on the pyramid alone."""
  tasks = _pyramid_tasks(config, shared)
  networks = {name: network for task in tasks for name, network in task.networks.items()}
  return PyramidNetwork(_preprocess(config), _backbone_and_neck(config, shared) | networks, tasks)


def dense_detector(config: FrozenConfigDict, shared: Shared) -> DenseDetector:
  """A dense one-stage detector; `head.name` chooses the method."""
  method, head = method_and_head(config.head, config.test, shared.num_classes, shared.dtype)
  networks = _backbone_and_neck(config, shared) | {'head': head}
  if 'mask_branch' in config.head:
    branch = config.head.mask_branch
    make = find(MASK_BRANCHES, branch.name, 'head.mask_branch.name')
    networks[MASK_BRANCH] = make(**_without(branch, 'name'), num_classes=shared.num_classes, dtype=shared.dtype)
  return DenseDetector(_preprocess(config), networks, method)


def method_and_head(
  settings: FrozenConfigDict, test: FrozenConfigDict, num_classes: int, dtype: jnp.dtype
) -> tuple[DenseMethod, nn.Module]:
  """A dense method, and the network of its head."""
  method = find(DENSE_METHODS, settings.name, 'head.name')(settings, test, num_classes)
  network = settings.network
  make = find(DENSE_HEADS, network.name, 'head.network.name')
  return method, make(**_without(network, 'name'), num_classes=num_classes, **method.head_arguments, dtype=dtype)


def dense_proposals(settings: FrozenConfigDict, dtype: jnp.dtype) -> DenseProposals:
  """A dense method of one class as proposal generator."""
  method, head = method_and_head(settings.head, FrozenConfigDict(), 1, dtype)
  return DenseProposals(settings, method, {RPN_HEAD: head})


def detr(config: FrozenConfigDict, shared: Shared) -> DETR:
  """DETR."""
  networks = _backbone_and_neck(config, shared) | _transformer(config, shared, DetrEncoder, DetrDecoder)
  return DETR(_preprocess(config), config, networks)


def deformable_detr(config: FrozenConfigDict, shared: Shared) -> DeformableDETR:
  """Deformable DETR, two-stage if `encoder_proposals` is set."""
  networks = _backbone_and_neck(config, shared) | _transformer(config, shared, DeformableEncoder, DeformableDecoder)
  if 'encoder_proposals' in config:
    networks[PROPOSALS] = QueryProposals(shared.num_classes, shared.dtype)
  return DeformableDETR(_preprocess(config), config, networks)


PROPOSAL_GENERATORS = {'rpn': make_rpn, 'dense': dense_proposals, 'given': lambda settings, dtype: Given()}
DETECTORS: dict[str, Callable[[FrozenConfigDict, Shared], Detector]] = {
  'two_stage': two_stage,
  'proposal_network': proposal_network,
  'pyramid_network': pyramid_network,
  'dense': dense_detector,
  'detr': detr,
  'deformable_detr': deformable_detr,
}


def build_detector(config: ConfigDict, num_classes: int) -> Detector:
  """Builds the detector of `config.model` for `num_classes` classes.

  Raises:
    ValueError: a name is in no table; the message has the nearest one.
  """
  settings = ConfigDict(config.to_dict())
  settings.num_classes = num_classes
  settings = FrozenConfigDict(settings)
  shared = Shared(num_classes, jnp.dtype(settings.dtype), settings.remat, settings.frozen, settings.class_counts)
  detector = find(DETECTORS, settings.name, 'model.name')(settings, shared)
  return MirrorTest(detector, settings.test.mirror) if 'mirror' in settings.test else detector


def build_without_data(config: ConfigDict, num_classes: int) -> Detector:
  """Builds a detector for names, shapes and initial values only; missing class counts are set to 1.

  Class losses for long tails need the class counts of the training data, but no variable depends on them.
  """
  settings = ConfigDict(config.to_dict())
  if not settings.class_counts.images:
    every = (1,) * num_classes
    settings.class_counts = {'images': every, 'instances': every, 'num_images': num_classes}
  return build_detector(settings, num_classes)


def _preprocess(config: FrozenConfigDict) -> Preprocess:
  return Preprocess(config.pixel_mean, config.pixel_std, config.dtype)


def _backbone(config: FrozenConfigDict, shared: Shared) -> nn.Module:
  make = find(BACKBONES, config.backbone.name, 'backbone.name')
  return make(**_without(config.backbone, 'name'), frozen=shared.frozen, remat=shared.remat, dtype=shared.dtype)


def _backbone_and_neck(config: FrozenConfigDict, shared: Shared) -> dict[str, nn.Module]:
  neck = find(NECKS, config.neck.name, 'neck.name')(**_without(config.neck, 'name'), dtype=shared.dtype)
  return {'backbone': _backbone(config, shared), 'neck': neck}


def _proposal_generator(config: FrozenConfigDict, shared: Shared) -> ProposalGenerator:
  return find(PROPOSAL_GENERATORS, config.proposals.name, 'proposals.name')(config.proposals, shared.dtype)


def _pyramid_tasks(config: FrozenConfigDict, shared: Shared) -> tuple[PyramidTask, ...]:
  """Makes the tasks of `pyramid_tasks`; none if the config lacks the key."""
  settings = config.get('pyramid_tasks', {})
  return tuple(find(PYRAMID_TASKS, name, 'pyramid_tasks')(settings[name], shared) for name in settings)


def _transformer(
  config: FrozenConfigDict, shared: Shared, encoder: type[nn.Module], decoder: type[nn.Module]
) -> dict[str, nn.Module]:
  """Encoder and decoder of a query detector."""
  common = {'remat': shared.remat, 'dtype': shared.dtype}
  num_logits = shared.num_classes + (not is_sigmoid(config))
  return {
    'encoder': encoder(**config.encoder, **common),
    'decoder': decoder(**config.decoder, num_logits=num_logits, **common),
  }


def _without(settings: Mapping, *keys: str) -> dict:
  return {key: value for key, value in settings.items() if key not in keys}
