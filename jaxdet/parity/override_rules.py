"""What an override of an upstream config means for jaxdet's: one table of upstream keys.

The keys are regular expressions. A rule writes into `config.model`; what it cannot say there it refuses, so that the
case is not run on a wrong model.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

EVERYTHING = 4096  # a sampler of so many rows or more takes all there are: `sampler.num` 0
Change = Callable[[ConfigDict, Any], None]

NORMS = {'': '', 'FrozenBN': 'frozen_bn', 'BN': 'sync_bn', 'SyncBN': 'sync_bn', 'naiveSyncBN': 'sync_bn', 'GN': 'gn'}
LOW_QUALITY = {True: 'object', False: 'none'}  # mmdetection's `match_low_quality`


def put(*paths: str) -> Change:
  """Writes the value at these paths below `config.model`."""

  def change(config: ConfigDict, value) -> None:
    for path in paths:
      write(config.model, path, value)

  return change


def put_each(*paths: str) -> Change:
  """Writes the parts of a value at these paths."""

  def change(config: ConfigDict, values) -> None:
    for path, value in zip(paths, values, strict=True):
      write(config.model, path, value)

  return change


def choose(path: str, values: Mapping[Any, Any]) -> Change:
  """Writes what stands for the value here.

  Raises:
    ValueError: for a value of which nothing is known.
  """

  def change(config: ConfigDict, value) -> None:
    if value not in values:
      raise ValueError(f"nothing is known of the value '{value}', which belongs to config.model.{path}")
    write(config.model, path, values[value])

  return change


def put_iou(path: str) -> Change:
  """Detectron2's thresholds of a matcher: one, or that of negatives and that of positives."""
  return lambda config, values: put_each(f'{path}.negative_iou', f'{path}.positive_iou')(
    config, [values[0], values[-1]]
  )


def sample(path: str) -> Change:
  """The number of rows that a sampler takes."""
  return lambda config, value: write(config.model, path, 0 if value >= EVERYTHING else value)


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


def frozen_parts(config: ConfigDict, value) -> None:
  """Detectron2 counts the stem as the first part, mmdetection's `frozen_stages` as number 0."""
  config.model.backbone.frozen_stages = value - 1


def cell_sizes(config: ConfigDict, value) -> None:
  """mmdetection's scales are relative to the strides of the levels."""
  anchors = config.model.rpn.anchors
  first = config.model.neck.level if config.model.neck.name == 'single' else min(config.model.neck.levels)
  strides = [2 ** (first + k) for k in range(len(anchors.sizes))]
  anchors.sizes = tuple(tuple(scale * stride for scale in value) for stride in strides)


def coder_weights(path: str) -> Change:
  """mmdetection's deviations are the reciprocals of weights."""
  return lambda config, value: write(config.model, path, tuple(1 / deviation for deviation in value))


def iou_losses(path: str) -> Change:
  """Writes a regression loss by Detectron2's name."""
  names = {name: name for name in ('smooth_l1', 'giou', 'diou', 'ciou')}
  return choose(f'{path}.name', names)


def federated(config: ConfigDict, value) -> None:
  """Detectron2's federated loss, whose sigmoids are an override of their own."""
  if value:
    config.model.roi.class_loss = {'name': 'federated', 'slots': 50, 'power': 0.5}


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
  r'MODEL\.BACKBONE\.FREEZE_AT': frozen_parts,
  r'MODEL\.RESNETS\.DEPTH': put('backbone.depth'),
  r'MODEL\.RESNETS\.NUM_GROUPS': put('backbone.groups'),
  r'MODEL\.RESNETS\.WIDTH_PER_GROUP': put('backbone.group_width'),
  r'MODEL\.RESNETS\.STRIDE_IN_1X1': choose('backbone.style', {True: 'caffe', False: 'pytorch'}),
  r'MODEL\.RESNETS\.NORM': choose('backbone.norm', NORMS),
  r'MODEL\.FPN\.NORM': choose('neck.norm', NORMS),
  r'MODEL\.FPN\.OUT_CHANNELS': put('neck.channels', 'rpn.channels'),
  r'MODEL\.ANCHOR_GENERATOR\.SIZES': put('rpn.anchors.sizes'),
  r'MODEL\.ANCHOR_GENERATOR\.ASPECT_RATIOS': lambda config, value: put('rpn.anchors.aspect_ratios')(config, value[0]),
  r'MODEL\.ANCHOR_GENERATOR\.OFFSET': put('rpn.anchors.offset'),
  r'MODEL\.RPN\.IOU_THRESHOLDS': put_iou('rpn.matcher'),
  r'MODEL\.RPN\.NMS_THRESH': put('rpn.train_proposals.iou', 'rpn.test_proposals.iou'),
  r'MODEL\.PROPOSAL_GENERATOR\.MIN_SIZE': put('rpn.train_proposals.min_size', 'rpn.test_proposals.min_size'),
  r'MODEL\.RPN\.BOUNDARY_THRESH': put('rpn.border'),
  r'MODEL\.RPN\.SMOOTH_L1_BETA': put('rpn.loss.beta'),
  r'MODEL\.RPN\.BBOX_REG_LOSS_TYPE': iou_losses('rpn.loss'),
  r'MODEL\.RPN\.BBOX_REG_LOSS_WEIGHT': put('rpn.loss.weight'),
  r'MODEL\.RPN\.BBOX_REG_WEIGHTS': put('rpn.coder.weights'),
  r'MODEL\.RPN\.CONV_DIMS': lambda config, value: put('rpn.num_convs')(config, len(value)),
  r'MODEL\.ROI_HEADS\.IOU_THRESHOLDS': put_iou('roi.matcher'),
  r'MODEL\.ROI_HEADS\.NMS_THRESH_TEST': put('test.iou'),
  r'MODEL\.ROI_HEADS\.SCORE_THRESH_TEST': put('test.score_threshold'),
  r'MODEL\.ROI_HEADS\.PROPOSAL_APPEND_GT': put('roi.add_ground_truth'),
  r'MODEL\.ROI_(BOX|MASK)_HEAD\.POOLER_TYPE': choose('roi.aligned', {'ROIAlignV2': True, 'ROIAlign': False}),
  r'MODEL\.ROI_(BOX|MASK)_HEAD\.POOLER_SAMPLING_RATIO': put('roi.sampling_ratio'),
  r'MODEL\.ROI_BOX_HEAD\.POOLER_RESOLUTION': put('roi.box_head.roi_size'),
  r'MODEL\.ROI_BOX_HEAD\.NUM_CONV': put('roi.box_head.num_convs'),
  r'MODEL\.ROI_BOX_HEAD\.CONV_DIM': put('roi.box_head.conv_channels'),
  r'MODEL\.ROI_BOX_HEAD\.NUM_FC': put('roi.box_head.num_fcs'),
  r'MODEL\.ROI_BOX_HEAD\.FC_DIM': put('roi.box_head.channels'),
  r'MODEL\.ROI_BOX_HEAD\.NORM': choose('roi.box_head.norm', NORMS),
  r'MODEL\.ROI_BOX_HEAD\.CLS_AGNOSTIC_BBOX_REG': put('roi.box_head.class_agnostic'),
  r'MODEL\.ROI_BOX_HEAD\.USE_FED_LOSS': federated,
  r'MODEL\.ROI_BOX_HEAD\.USE_SIGMOID_CE': nothing,
  r'MODEL\.ROI_BOX_HEAD\.SMOOTH_L1_BETA': put('roi.loss.beta'),
  r'MODEL\.ROI_BOX_HEAD\.BBOX_REG_LOSS_TYPE': iou_losses('roi.loss'),
  r'MODEL\.ROI_BOX_HEAD\.BBOX_REG_LOSS_WEIGHT': put('roi.loss.weight'),
  r'MODEL\.ROI_BOX_HEAD\.BBOX_REG_WEIGHTS': put('roi.coder.weights'),
  r'MODEL\.ROI_BOX_CASCADE_HEAD\.IOUS': put('roi.cascade.ious'),
  r'MODEL\.ROI_BOX_CASCADE_HEAD\.BBOX_REG_WEIGHTS': put('roi.cascade.coder_weights'),
  r'MODEL\.ROI_MASK_HEAD\.POOLER_RESOLUTION': put('roi.mask_head.roi_size'),
  r'MODEL\.ROI_MASK_HEAD\.NUM_CONV': put('roi.mask_head.num_convs'),
  r'MODEL\.ROI_MASK_HEAD\.CONV_DIM': put('roi.mask_head.channels'),
  r'MODEL\.ROI_MASK_HEAD\.NORM': choose('roi.mask_head.norm', NORMS),
  r'MODEL\.ROI_MASK_HEAD\.CLS_AGNOSTIC_MASK': put('roi.mask_head.class_agnostic'),
  r'MODEL\.RETINANET\.NUM_CLASSES': put('num_classes'),
  r'MODEL\.RETINANET\.NUM_CONVS': put('head.network.num_convs'),
  r'MODEL\.RETINANET\.IOU_THRESHOLDS': put_iou('head.matcher'),
  r'MODEL\.RETINANET\.FOCAL_LOSS_ALPHA': put('head.class_loss.alpha'),
  r'MODEL\.RETINANET\.FOCAL_LOSS_GAMMA': put('head.class_loss.gamma'),
  r'MODEL\.RETINANET\.SMOOTH_L1_LOSS_BETA': put('head.loss.beta'),
  r'MODEL\.RETINANET\.BBOX_REG_LOSS_TYPE': iou_losses('head.loss'),
  r'MODEL\.RETINANET\.BBOX_REG_WEIGHTS': put('head.coder.weights'),
  r'MODEL\.RETINANET\.SCORE_THRESH_TEST': put('test.score_threshold'),
  r'MODEL\.RETINANET\.TOPK_CANDIDATES_TEST': put('test.pre_nms'),
  r'MODEL\.RETINANET\.NMS_THRESH_TEST': put('test.iou'),
  r'MODEL\.DETR\.DROPOUT': put('encoder.dropout', 'decoder.dropout'),
  r'TEST\.DETECTIONS_PER_IMAGE': put('test.detections'),
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
  r'model\.test_cfg\.rcnn\.nms\.iou_threshold': put('test.iou'),
  r'model\.test_cfg\.rpn\.nms\.iou_threshold': put('rpn.test_proposals.iou'),
  r'model\.test_cfg\.rpn\.min_bbox_size': put('rpn.test_proposals.min_size'),
  r'model\.train_cfg\.rpn_proposal\.nms\.iou_threshold': put('rpn.train_proposals.iou'),
  r'model\.train_cfg\.rpn_proposal\.min_bbox_size': put('rpn.train_proposals.min_size'),
  r'model\.train_cfg\.rpn\.allowed_border': put('rpn.border'),
  r'model\.train_cfg\.rpn\.sampler\.pos_fraction': put('rpn.sampler.positive_fraction'),
  r'model\.train_cfg\.rcnn\.(\d\.)?sampler\.pos_fraction': put('roi.sampler.positive_fraction'),
  r'model\.train_cfg\.rcnn\.sampler\.add_gt_as_proposals': put('roi.add_ground_truth'),
  r'model\.train_cfg\.(rpn|rcnn)\.assigner\.ignore_iof_thr': nothing,  # recorded images have no crowds
  r'model\.train_cfg\.rpn\.assigner\.pos_iou_thr': put('rpn.matcher.positive_iou'),
  r'model\.train_cfg\.rpn\.assigner\.neg_iou_thr': put('rpn.matcher.negative_iou'),
  r'model\.train_cfg\.rpn\.assigner\.min_pos_iou': put('rpn.matcher.low_quality_min_iou'),
  r'model\.train_cfg\.rpn\.assigner\.match_low_quality': choose('rpn.matcher.low_quality', LOW_QUALITY),
  r'model\.train_cfg\.rcnn\.assigner\.pos_iou_thr': put('roi.matcher.positive_iou'),
  r'model\.train_cfg\.rcnn\.assigner\.neg_iou_thr': put('roi.matcher.negative_iou'),
  r'model\.train_cfg\.rcnn\.assigner\.min_pos_iou': put('roi.matcher.low_quality_min_iou'),
  r'model\.train_cfg\.rcnn\.assigner\.match_low_quality': choose('roi.matcher.low_quality', LOW_QUALITY),
  r'model\.backbone\.depth': put('backbone.depth'),
  r'model\.backbone\.style': put('backbone.style'),
  r'model\.backbone\.groups': put('backbone.groups'),
  r'model\.backbone\.base_width': put('backbone.group_width'),
  r'model\.backbone\.frozen_stages': put('backbone.frozen_stages'),
  r'model\.neck\.out_channels': put('neck.channels'),
  r'model\.rpn_head\.anchor_generator\.scales': cell_sizes,
  r'model\.rpn_head\.anchor_generator\.ratios': put('rpn.anchors.aspect_ratios'),
  r'model\.rpn_head\.anchor_generator\.center_offset': put('rpn.anchors.offset'),
  r'model\.rpn_head\.bbox_coder\.clip_border': put('rpn.coder.clip'),
  r'model\.rpn_head\.bbox_coder\.target_stds': coder_weights('rpn.coder.weights'),
  r'model\.rpn_head\.loss_bbox\.beta': put('rpn.loss.beta'),
  r'model\.rpn_head\.loss_bbox\.loss_weight': put('rpn.loss.weight'),
  r'model\.roi_head\.(bbox|mask)_roi_extractor\.roi_layer\.sampling_ratio': put('roi.sampling_ratio'),
  r'model\.roi_head\.(bbox|mask)_roi_extractor\.roi_layer\.aligned': put('roi.aligned'),
  r'model\.roi_head\.(bbox|mask)_roi_extractor\.finest_scale': lambda config, value: put('roi.canonical_size')(
    config, 4 * value
  ),
  r'model\.roi_head\.bbox_roi_extractor\.roi_layer\.output_size': put('roi.box_head.roi_size'),
  r'model\.roi_head\.mask_roi_extractor\.roi_layer\.output_size': put('roi.mask_head.roi_size'),
  r'model\.roi_head\.bbox_head\.roi_feat_size': nothing,  # follows from the pooling
  r'model\.roi_head\.bbox_head\.num_classes': put('num_classes'),
  r'model\.roi_head\.mask_head\.num_classes': nothing,
  r'model\.roi_head\.bbox_head\.fc_out_channels': put('roi.box_head.channels'),
  r'model\.roi_head\.bbox_head\.reg_class_agnostic': put('roi.box_head.class_agnostic'),
  r'model\.roi_head\.bbox_head\.bbox_coder\.clip_border': put('roi.coder.clip'),
  r'model\.roi_head\.bbox_head\.bbox_coder\.target_stds': coder_weights('roi.coder.weights'),
  r'model\.roi_head\.bbox_head\.loss_bbox\.beta': put('roi.loss.beta'),
  r'model\.roi_head\.bbox_head\.loss_bbox\.loss_weight': put('roi.loss.weight'),
  r'model\.roi_head\.mask_head\.num_convs': put('roi.mask_head.num_convs'),
  r'model\.roi_head\.mask_head\.class_agnostic': put('roi.mask_head.class_agnostic'),
  r'model\.test_cfg\.(rcnn\.)?max_per_img': put('test.detections'),
  r'model\.test_cfg\.nms_pre': put('test.pre_nms'),
  r'model\.test_cfg\.score_thr': put('test.score_threshold'),
  r'model\.test_cfg\.nms\.iou_threshold': put('test.iou'),
  r'model\.bbox_head\.num_classes': put('num_classes'),
  r'model\.bbox_head\.stacked_convs': put('head.network.num_convs'),
  r'model\.bbox_head\.feat_channels': put('head.network.channels'),
  r'model\.bbox_head\.loss_cls\.alpha': put('head.class_loss.alpha'),
  r'model\.bbox_head\.loss_cls\.gamma': put('head.class_loss.gamma'),
  r'model\.bbox_head\.loss_bbox\.loss_weight': put('head.loss.weight'),
  r'model\.bbox_head\.loss_bbox\.beta': put('head.loss.beta'),
  r'model\.train_cfg\.assigner\.pos_iou_thr': put('head.matcher.positive_iou'),
  r'model\.train_cfg\.assigner\.neg_iou_thr': put('head.matcher.negative_iou'),
  r'model\.train_cfg\.assigner\.min_pos_iou': put('head.matcher.low_quality_min_iou'),
  r'model\.train_cfg\.allowed_border': put('head.border'),
  r'model\.data_preprocessor\.batch_augments': nothing,
  r'SyncBN': nothing,  # runs on running statistics, as everything here
}


def read(model: ConfigDict, path: str):
  for key in path.split('.'):
    model = model[key]
  return model


def write(model: ConfigDict, path: str, value) -> None:
  """Recorded overrides also speak of parts that a model does without (an RPN alone): those are passed over."""
  *parents, key = path.split('.')
  if parents and model.get(parents[0]) is None:
    return
  node = read(model, '.'.join(parents)) if parents else model
  if key not in node:
    raise KeyError(f'the config has no model.{path}, which the recorded run overrides')
  with node.ignore_type():
    node[key] = _frozen(value)


def _frozen(value):
  return tuple(map(_frozen, value)) if isinstance(value, list) else value
