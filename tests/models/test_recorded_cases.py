"""Systems against recorded runs of Detectron2 and mmdetection, the small ones; scripts/parity.py has all."""

import pytest

from upstream_case import compared

CASES = (
  'mmdet/retinanet_r18_fpn',
  'detectron2/fcos_R_50_FPN_1x',
  'mmdet/gfl_r50_fpn',
  'mmdet/ssd300_vgg16',
  'mmdet/yolact_r50',
  'mmdet/cornernet_hourglass104',
  'mmdet/grid_rcnn_r50_fpn_gn',
  'mmdet/double_head_faster_rcnn_r50_fpn',
  'mmdet/dynamic_rcnn_r50_fpn',
  'mmdet/libra_faster_rcnn_r50_fpn',
  'mmdet/libra_retinanet_r50_fpn',
  'mmdet/ms_rcnn_r50_caffe_fpn',
  'mmdet/pafpn_faster_rcnn_r50',
  'mmdet/faster_rcnn_r50_fpn_ohem',
  'mmdet/faster_rcnn_r50_fpn_soft_nms',
  'mmdet/faster_rcnn_r50_fpn_fcos_rpn',
)
PIXELS = {  # maps of pixels that are compared
  'detectron2/semantic_R_50_FPN_1x': {'sem_seg0/argmax', 'sem_seg1/argmax'},
  'detectron2/panoptic_fpn_R_50_1x': {
    name for i in (0, 1) for name in (f'sem_seg{i}/argmax', f'panoptic{i}/ids', f'panoptic{i}/segments')
  },
}


@pytest.mark.slow
@pytest.mark.parametrize('name', [*CASES, *PIXELS])
def test_everything_recorded_is_compared_and_agrees(name):
  comparison = compared(name)
  assert [check for check in comparison.checks if not check.passed] == []
  assert {check.name for check in comparison.checks if check.stage == 'pixels'} == PIXELS.get(name, set())
