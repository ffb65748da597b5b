"""Overrides of Detectron2's configs, and of its descendants': regular expressions of keys, and the change of each."""

from collections.abc import Mapping

from jaxdet.parity.override_changes import (
  NORMS,
  Change,
  both,
  choose,
  federated,
  frozen_parts,
  iou_losses,
  mask_format,
  nothing,
  pixel_std,
  put,
  put_each,
  put_iou,
  sample,
)

# The RPN divides its losses by the number of anchors it asked for.
RULES: Mapping[str, Change] = {
  r'MODEL\.RPN\.BATCH_SIZE_PER_IMAGE': both(sample('proposals.sampler.num'), put('proposals.normalizer')),
  r'MODEL\.RPN\.POSITIVE_FRACTION': put('proposals.sampler.positive_fraction'),
  r'MODEL\.RPN\.PRE_NMS_TOPK_TRAIN': put('proposals.train_proposals.pre_nms_topk'),
  r'MODEL\.RPN\.PRE_NMS_TOPK_TEST': put('proposals.test_proposals.pre_nms_topk'),
  r'MODEL\.RPN\.POST_NMS_TOPK_TRAIN': put('proposals.train_proposals.post_nms_topk'),
  r'MODEL\.RPN\.POST_NMS_TOPK_TEST': put('proposals.test_proposals.post_nms_topk'),
  r'MODEL\.ROI_HEADS\.BATCH_SIZE_PER_IMAGE': sample('roi.sampler.num'),
  r'MODEL\.ROI_HEADS\.POSITIVE_FRACTION': put('roi.sampler.positive_fraction'),
  r'MODEL\.ROI_HEADS\.NUM_CLASSES': put('num_classes'),
  r'MODEL\.PIXEL_STD': pixel_std,
  r'MODEL\.BACKBONE\.FREEZE_AT': frozen_parts(stem=1),
  r'MODEL\.RESNETS\.DEPTH': put('backbone.depth'),
  r'MODEL\.RESNETS\.NUM_GROUPS': put('backbone.groups'),
  r'MODEL\.RESNETS\.WIDTH_PER_GROUP': put('backbone.group_width'),
  r'MODEL\.RESNETS\.STRIDE_IN_1X1': choose('backbone.style', {True: 'caffe', False: 'pytorch'}),
  r'MODEL\.RESNETS\.NORM': choose('backbone.norm', NORMS),
  r'MODEL\.FPN\.NORM': choose('neck.norm', NORMS),
  r'MODEL\.FPN\.OUT_CHANNELS': put('neck.channels', 'proposals.channels'),
  r'MODEL\.ANCHOR_GENERATOR\.SIZES': put('proposals.anchors.sizes'),
  r'MODEL\.ANCHOR_GENERATOR\.ASPECT_RATIOS': lambda config, value: put('proposals.anchors.aspect_ratios')(
    config, value[0]
  ),
  r'MODEL\.ANCHOR_GENERATOR\.OFFSET': put('proposals.anchors.offset'),
  r'MODEL\.RPN\.IOU_THRESHOLDS': put_iou('proposals.matcher'),
  r'MODEL\.RPN\.NMS_THRESH': put('proposals.train_proposals.iou', 'proposals.test_proposals.iou'),
  r'MODEL\.PROPOSAL_GENERATOR\.MIN_SIZE': put(
    'proposals.train_proposals.min_size', 'proposals.test_proposals.min_size'
  ),
  r'MODEL\.RPN\.BOUNDARY_THRESH': put('proposals.border'),
  r'MODEL\.RPN\.SMOOTH_L1_BETA': put('proposals.loss.beta'),
  r'MODEL\.RPN\.BBOX_REG_LOSS_TYPE': iou_losses('proposals.loss'),
  r'MODEL\.RPN\.BBOX_REG_LOSS_WEIGHT': put('proposals.loss.weight'),
  r'MODEL\.RPN\.BBOX_REG_WEIGHTS': put('proposals.coder.weights'),
  r'MODEL\.RPN\.CONV_DIMS': lambda config, value: put('proposals.num_convs')(config, len(value)),
  r'MODEL\.ROI_HEADS\.IOU_THRESHOLDS': put_iou('roi.matcher'),
  r'MODEL\.ROI_HEADS\.NMS_THRESH_TEST': put('test.iou'),
  r'MODEL\.ROI_HEADS\.SCORE_THRESH_TEST': put('test.score_threshold'),
  r'MODEL\.ROI_HEADS\.PROPOSAL_APPEND_GT': put('roi.add_ground_truth'),
  r'MODEL\.ROI_(BOX|MASK)_HEAD\.POOLER_TYPE': choose('roi.pooler.aligned', {'ROIAlignV2': True, 'ROIAlign': False}),
  r'MODEL\.ROI_(BOX|MASK)_HEAD\.POOLER_SAMPLING_RATIO': put('roi.pooler.sampling_ratio'),
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
  r'MODEL\.RETINANET\.TOPK_CANDIDATES_TEST': put('test.pre_nms_topk'),
  r'MODEL\.RETINANET\.NMS_THRESH_TEST': put('test.iou'),
  r'MODEL\.DETR\.DROPOUT': put('encoder.dropout', 'decoder.dropout'),
  r'TEST\.DETECTIONS_PER_IMAGE': put('test.detections'),
  r'INPUT\.MASK_FORMAT': mask_format,
  r'MODEL\.(WEIGHTS|DEVICE)|FP16': nothing,
  # Detectron2's Python configs
  r'model\.proposal_generator\.batch_size_per_image': both(
    sample('proposals.sampler.num'), put('proposals.normalizer')
  ),
  r'model\.proposal_generator\.positive_fraction': put('proposals.sampler.positive_fraction'),
  r'model\.proposal_generator\.pre_nms_topk': put_each(
    'proposals.train_proposals.pre_nms_topk', 'proposals.test_proposals.pre_nms_topk'
  ),
  r'model\.proposal_generator\.post_nms_topk': put_each(
    'proposals.train_proposals.post_nms_topk', 'proposals.test_proposals.post_nms_topk'
  ),
  r'model\.roi_heads\.batch_size_per_image': sample('roi.sampler.num'),
  r'model\.roi_heads\.positive_fraction': put('roi.sampler.positive_fraction'),
  r'model\.pixel_std': pixel_std,
  r'SyncBN': nothing,  # runs on running statistics, as everything here
}
