"""Mask Scoring R-CNN (Huang et al., 2019) as in mmdetection: ms_rcnn/ms-rcnn_r50_fpn_1x_coco and similar.

  --config configs/mmdet/ms_rcnn.py:weights=msra

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': ('r50', 'r101', 'x101_32x4d', 'x101_64x4d'),
  'weights': ('', 'msra'),  # initial weights of the backbone; '': torchvision's
  'schedule': ('1x', '2x'),
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights, coco = backbones.mmdet(args.backbone, args.weights), datasets.DATASETS['coco']
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.fpn(),
      proposals=rpn.mmdet(),
      roi=roi.mmdet(
        box_head=roi.box_head(),
        mask_head=roi.mask_head(),
        mask_iou_head=roi.mask_iou_head(),
        low_quality_matches='gt_claims',
        low_quality_min_iou=0.5,
      ),
      test=detections.two_stage(coco.score_threshold, coco.detections, drop_empty_boxes=False),
    ),
    data=datasets.mmdet('coco'),
    train=schedules.mmdet('coco', args.schedule),
    evaluation=evaluation(coco.protocol, masks=True),
  )
