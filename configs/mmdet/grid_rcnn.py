"""Grid R-CNN (Lu et al., 2019) as in mmdetection: grid_rcnn/grid-rcnn_r50_fpn_gn-head_2x_coco and similar.

  --config configs/mmdet/grid_rcnn.py:backbone=r101

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': ('r50', 'r101', 'x101_32x4d', 'x101_64x4d'),
  'schedule': ('2x', '1x'),
}
SCHEDULES = {  # epochs, epochs after which the learning rate drops, and warmup
  '2x': {'epochs': (25, (17, 23)), 'warmup_steps': 3665, 'warmup_factor': 1 / 80},
  '1x': {'epochs': (12, (8, 11)), 'warmup_steps': 500, 'warmup_factor': 1e-4},
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights, coco = backbones.mmdet(args.backbone), datasets.DATASETS['coco']
  schedule = dict(SCHEDULES[args.schedule])
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.fpn(),
      proposals=rpn.mmdet(border=0, beta=1 / 9, train=(2000, 2000)),
      roi=roi.mmdet(
        box_head=roi.box_head(box_regression=False),
        grid_head=roi.grid_head(),
        low_quality_matches='gt_claims',
        low_quality_min_iou=0.5,
      ),
      test=detections.two_stage(score_threshold=0.03, detections=coco.detections, iou=0.3, drop_empty_boxes=False),
    ),
    data=datasets.mmdet('coco'),
    train=schedules.training(
      **schedules.epochs(*schedule.pop('epochs'), coco.images),
      **schedule,
      base_lr=0.02,
      optimizer=schedules.sgd(norm_decay=1.0),
    ),
    evaluation=evaluation(coco.protocol, masks=False),
  )
