"""Dynamic R-CNN (Zhang et al., 2020) as in mmdetection: dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco.

  --config configs/mmdet/dynamic_rcnn.py:backbone=r101

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {'backbone': ('r50', 'r101'), 'schedule': ('1x', '2x')}
DYNAMIC = {  # settings that move during training, see models/box_stages/dynamic.py
  'interval': 100,  # steps after which they move
  'iou_rank': 75,  # the so many highest IoU of an image's proposals counts for the threshold
  'least_iou': 0.4,  # of the threshold, which begins at `matcher.positive_iou`
  'shift_rank': 10,  # the so many smallest target for every image counts for beta
  'largest_beta': 1.0,
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights, coco = backbones.mmdet(args.backbone), datasets.DATASETS['coco']
  proposals = rpn.mmdet()
  # More proposals near an object, for high thresholds.
  dense = {name: {**proposals[name], 'iou': 0.85} for name in ('train_proposals', 'test_proposals')}
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.fpn(),
      proposals={**proposals, **dense},
      roi={**roi.mmdet(box_head=roi.box_head(), beta=1.0), 'stage': 'dynamic', 'dynamic': DYNAMIC},
      test=detections.two_stage(coco.score_threshold, coco.detections, drop_empty_boxes=False),
    ),
    data=datasets.mmdet('coco'),
    train=schedules.mmdet('coco', args.schedule),
    evaluation=evaluation(coco.protocol, masks=False),
  )
