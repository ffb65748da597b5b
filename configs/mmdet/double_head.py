"""Double-Head Faster R-CNN (Wu et al., 2020) as in mmdetection: double_heads/dh-faster-rcnn_r50_fpn_1x_coco.

  --config configs/mmdet/double_head.py:backbone=r101

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {'backbone': ('r50', 'r101'), 'schedule': ('1x', '2x')}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights, coco = backbones.mmdet(args.backbone), datasets.DATASETS['coco']
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.fpn(),
      proposals=rpn.mmdet(),
      roi={
        **roi.mmdet(box_head=roi.double_box_head(), beta=1.0, loss_weight=2.0),
        'stage': 'double',
        'box_scale': 1.3,  # sides of the RoIs that boxes are predicted from, relative to those of the RoIs for classes
        'class_loss': {'name': 'cross_entropy', 'weight': 2.0},
      },
      test=detections.two_stage(coco.score_threshold, coco.detections, drop_empty_boxes=False),
    ),
    data=datasets.mmdet('coco'),
    train=schedules.mmdet('coco', args.schedule),
    evaluation=evaluation(coco.protocol, masks=False),
  )
