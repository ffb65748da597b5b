"""Fast R-CNN (Girshick, 2015), proposals given, as in Detectron2: COCO-Detection/fast_rcnn_R_50_FPN_1x.

  --config configs/detectron2/fast_rcnn.py

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': backbones.NETWORKS,
  'sizes': datasets.SIZES,  # of training images
  'schedule': ('1x', '2x', '3x'),
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.detectron2(args.backbone)
  dataset = datasets.DATASETS['coco']
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.fpn(),
      proposals=rpn.given(),
      roi=roi.roi(box_head=roi.box_head()),
      test=detections.two_stage(dataset.score_threshold, dataset.detections),
    ),
    data=datasets.detectron2('coco', args.sizes),
    train=schedules.detectron2('coco', args.schedule),
    evaluation=evaluation(dataset.protocol, masks=False),
  )
