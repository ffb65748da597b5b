"""What recorded runs changed in their configs, and whether ours say what theirs do."""

import re

import pytest

from jaxdet.parity.overrides import case_config
from jaxdet.parity.upstream import Entry
from small_case import small_case
from upstream_case import CONFIGS

MODEL = Entry(f'{CONFIGS}/detectron2/mask_rcnn.py', is_case_specific=False)
MMDET = Entry(f'{CONFIGS}/mmdet/mask_rcnn.py', is_case_specific=False)
SYNC_BN = Entry(f'{CONFIGS}/detectron2/mask_rcnn.py:weights=syncbn,schedule=3x', is_case_specific=False)
RGB = {'image_mean': [123.675, 116.28, 103.53], 'image_std': [58.395, 57.12, 57.375], 'channel_order': 'RGB'}
STD = {'MODEL.PIXEL_STD': [57.375, 57.12, 58.395]}


def test_detectron2s_overrides():
  overrides = {
    'MODEL.RPN.BATCH_SIZE_PER_IMAGE': 16384,
    'MODEL.RPN.POSITIVE_FRACTION': 1.0,
    'MODEL.RPN.PRE_NMS_TOPK_TRAIN': 301,
    'MODEL.RPN.POST_NMS_TOPK_TEST': 302,
    'MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE': 128,
    'MODEL.DEVICE': 'cpu',
    **STD,
  }
  config, differences = case_config(small_case(overrides=overrides), MODEL)
  model = config.model
  assert differences == []
  assert (model.proposals.sampler.num, model.proposals.sampler.positive_fraction) == (0, 1.0)
  assert model.proposals.normalizer == 16384
  assert (model.proposals.train_proposals.pre_nms_topk, model.proposals.test_proposals.pre_nms_topk) == (301, 1000)
  assert (model.proposals.train_proposals.post_nms_topk, model.proposals.test_proposals.post_nms_topk) == (1000, 302)
  assert model.roi.sampler.num == 128
  assert model.pixel_std == (58.395, 57.12, 57.375)
  assert model.dtype == 'float32'


@pytest.mark.parametrize('overrides, drawn', [({}, True), ({'INPUT.MASK_FORMAT': 'bitmask'}, False)])
def test_bitmaps_have_no_outlines(overrides, drawn):
  config, _ = case_config(small_case(overrides=overrides | STD), MODEL)
  assert (config.data.max_vertices > 0) == drawn


def test_a_python_configs_overrides():
  overrides = {'model.proposal_generator.pre_nms_topk': [7, 8], 'model.roi_heads.batch_size_per_image': 4096}
  model = case_config(small_case(overrides=overrides | STD), MODEL)[0].model
  assert (model.proposals.train_proposals.pre_nms_topk, model.proposals.test_proposals.pre_nms_topk) == (7, 8)
  # All proposals and objects, where at most a quarter is positive: what the mask head is shown.
  assert (model.roi.sampler.num, model.roi.sampler.positive_fraction) == (1008, 0.25)


def test_mmdetections_overrides():
  overrides = {
    'model.train_cfg.rpn.sampler.num': 1000000,
    'model.train_cfg.rcnn.2.sampler.num': 1000000,
    'model.train_cfg.rpn_proposal.max_per_img': 200,
    'model.test_cfg.rpn.nms_pre': 300,
    'model.test_cfg.rcnn.max_per_img': 60,
  }
  case = small_case('mmdet/a', overrides=overrides, score_thr=0.05, nms_iou=0.5, max_per_img=60, **RGB)
  config, differences = case_config(case, MMDET)
  model = config.model
  assert differences == []
  assert (model.proposals.sampler.num, model.proposals.normalizer, model.roi.sampler.num) == (0, 0, 208)
  assert (model.proposals.train_proposals.post_nms_topk, model.proposals.test_proposals.pre_nms_topk) == (200, 300)
  assert model.test.detections == 60


def test_grid_points_are_trained_on_every_region_where_it_lies():
  overrides = {
    'model.train_cfg.rcnn.sampler.num': 1000000,
    'model.train_cfg.rpn_proposal.max_per_img': 200,
    'model.train_cfg.rcnn.max_num_grid': 1000000,
  }
  entry = Entry(f'{CONFIGS}/mmdet/grid_rcnn.py', is_case_specific=False)
  case = small_case('mmdet/a', overrides=overrides, score_thr=0.03, nms_iou=0.3, max_per_img=100, **RGB)
  config, differences = case_config(case, entry)
  roi = config.model.roi
  assert differences == []
  assert (roi.grid_points.jitter, roi.grid_points.max_rois, roi.sampler.num) == (0.0, 0, 208)


def test_mask_scorings_overrides():
  overrides = {
    'model.train_cfg.rcnn.mask_thr_binary': 0.4,
    'model.roi_head.mask_head.num_convs': 2,
    'model.roi_head.mask_iou_head.num_convs': 3,
    'model.roi_head.mask_iou_head.fc_out_channels': 128,
  }
  entry = Entry(f'{CONFIGS}/mmdet/ms_rcnn.py', is_case_specific=False)
  case = small_case('mmdet/a', overrides=overrides, score_thr=0.05, nms_iou=0.5, max_per_img=100, **RGB)
  config, differences = case_config(case, entry)
  roi = config.model.roi
  assert differences == []
  assert (roi.mask_scoring.logit_threshold, roi.mask_head.num_convs) == (0.4, 2)
  assert (roi.mask_iou_head.num_convs, roi.mask_iou_head.channels) == (3, 128)


def test_an_unknown_override_is_named_unless_the_line_is_the_cases_own():
  case = small_case(overrides={'MODEL.NEW': 1, **STD})
  with pytest.raises(ValueError, match='override not understood: MODEL.NEW'):
    case_config(case, MODEL)
  case_config(case, Entry(MODEL.config, is_case_specific=True))


def test_the_recorded_threshold_is_taken_and_the_configs_own_compared():
  case = small_case(overrides=STD, score_thr=0.29, score_thr_default=0.05, nms_iou=0.5, max_per_img=100)
  config, differences = case_config(case, MODEL)
  assert config.model.test.score_threshold == 0.29
  assert differences == []


@pytest.mark.parametrize(
  'meta, text',
  [
    ({'image_mean': [123.675, 116.28, 103.53]}, 'config.model.pixel_mean is'),
    ({'overrides': {}}, r'config.model.pixel_std is \(1.0, 1.0, 1.0\), recorded with \(58.395, 57.12, 57.375\)'),
    (
      {'score_thr': 0.29, 'score_thr_default': 0.1, 'nms_iou': 0.5, 'max_per_img': 100},
      'config.model.test.score_threshold is 0.05',
    ),
    ({'score_thr': 0.05, 'nms_iou': 0.6, 'max_per_img': 100}, 'config.model.test.iou is 0.5, recorded with 0.6'),
  ],
)
def test_disagreements_are_told(meta, text):
  differences = case_config(small_case(**{'overrides': STD, **meta}), MODEL)[1]
  assert len(differences) == 1
  assert re.match(text, differences[0])


def test_channels_in_the_other_order_are_told():
  differences = case_config(small_case(overrides={}, **RGB), MODEL)[1]
  assert any(text.startswith('config.model.channel_order is BGR, recorded with RGB') for text in differences)


def test_batch_norms_use_their_running_statistics():
  model = case_config(small_case(overrides=STD), SYNC_BN)[0].model
  assert (model.backbone.norm, model.neck.norm, model.roi.box_head.norm) == ('bn_eval', 'bn_eval', 'bn_eval')


@pytest.mark.parametrize(
  'entry, key, value, path, ours',
  [
    (MODEL, 'MODEL.BACKBONE.FREEZE_AT', 0, 'frozen', ()),
    (MODEL, 'MODEL.RESNETS.STRIDE_IN_1X1', False, 'backbone.style', 'pytorch'),
    (MODEL, 'MODEL.ROI_HEADS.IOU_THRESHOLDS', [0.6], 'roi.matcher.negative_iou', 0.6),
    (MODEL, 'MODEL.ROI_BOX_HEAD.POOLER_TYPE', 'ROIAlign', 'roi.pooler.aligned', False),
    (MODEL, 'MODEL.ANCHOR_GENERATOR.SIZES', [[16], [32], [64], [128], [256]], 'proposals.anchors.sizes', None),
    (MODEL, 'MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE', 'diou', 'roi.loss.name', 'diou'),
    (MMDET, 'model.rpn_head.anchor_generator.scales', [4], 'proposals.anchors.sizes', None),
    (
      MMDET,
      'model.roi_head.bbox_head.bbox_coder.target_stds',
      [0.1, 0.1, 0.2, 0.2],
      'roi.coder.weights',
      (10, 10, 5, 5),
    ),
    (MMDET, 'model.roi_head.bbox_roi_extractor.finest_scale', 28, 'roi.pooler.canonical_size', 112),
    (MMDET, 'model.rpn_head.bbox_coder.clip_border', False, 'proposals.clip_border', False),
    (MMDET, 'model.train_cfg.rcnn.assigner.match_low_quality', False, 'roi.matcher.low_quality_matches', 'off'),
  ],
)
def test_options_of_upstream(entry, key, value, path, ours):
  extra = STD if entry is MODEL else {}
  pixels = RGB if entry is MMDET else {}
  name = 'mmdet/small' if entry is MMDET else 'detectron2/small'
  model = case_config(small_case(name, overrides={key: value} | extra, **pixels), entry)[0].model
  for part in path.split('.'):
    model = model[part]
  expected = ((16,), (32,), (64,), (128,), (256,)) if ours is None else ours
  assert model == (pytest.approx(expected) if isinstance(expected, float) or key.endswith('stds') else expected)


def test_a_value_of_which_nothing_is_known_is_an_error():
  overrides = {'MODEL.ROI_BOX_HEAD.POOLER_TYPE': 'ROIPool', **STD}
  with pytest.raises(ValueError, match="'ROIPool', which belongs to config.model.roi.pooler.aligned"):
    case_config(small_case(overrides=overrides), MODEL)
