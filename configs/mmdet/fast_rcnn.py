"""Fast R-CNN (Girshick, 2015), proposals given, as in mmdetection: fast_rcnn/fast-rcnn_r50_fpn_1x_coco and similar.

  --config configs/mmdet/fast_rcnn.py:backbone=r101

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': backbones.NETWORKS,
  'weights': ('', 'torchvision', 'msra'),  # initial weights of the backbone; '': torchvision's
  'sizes': datasets.SIZES,  # of training images
  'schedule': ('1x', '2x'),
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.mmdet(args.backbone, args.weights)
  dataset = datasets.DATASETS['coco']
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.fpn(),
      proposals=rpn.given(),
      roi=roi.mmdet(box_head=roi.box_head()),
      test=detections.two_stage(dataset.score_threshold, dataset.detections, drop_empty_boxes=False),
    ),
    data=datasets.mmdet('coco', args.sizes),
    train=schedules.mmdet('coco', args.schedule),
    evaluation=evaluation(dataset.protocol, masks=False),
  )
