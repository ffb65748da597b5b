"""Cascade R-CNN (Cai & Vasconcelos, 2018) as in mmdetection: cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco and similar.

  --config configs/mmdet/cascade_rcnn.py:masks=true,backbone=r101,schedule=20e

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'masks': (False, True),
  'backbone': backbones.NETWORKS,
  'weights': ('', *backbones.MMDET),  # initial weights of the backbone; '': torchvision's
  'deformable': backbones.DEFORMABLE,  # convolutions of the backbone's last stages
  'legacy': (False, True),  # with the coordinates of mmdetection 1.x
  'sizes': datasets.SIZES,  # of training images
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5'),
  'schedule': ('1x', '2x', '3x', '20e'),
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  make_rpn, make_roi = (rpn.mmdet_1x, roi.mmdet_1x) if args.legacy else (rpn.mmdet, roi.mmdet)
  weights = backbones.mmdet(args.backbone, args.weights)
  dataset = datasets.DATASETS[args.dataset]
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights, args.deformable),
      neck=necks.fpn(weights.head_norm),
      proposals=make_rpn(border=0, beta=1 / 9, train=(2000, 2000)),
      roi=make_roi(
        box_head=roi.box_head(weights.head_norm, class_agnostic=True),
        mask_head=roi.mask_head(weights.head_norm, stages='every') if args.masks else None,
        cascade=roi.mmdet_cascade(),
        low_quality_matches='off',
        low_quality_min_iou=0.0,
        beta=1.0,
      ),
      test=detections.two_stage(dataset.score_threshold, dataset.detections, drop_empty_boxes=False),
    ),
    data=datasets.mmdet(args.dataset, args.sizes),
    train=schedules.mmdet(args.dataset, args.schedule),
    evaluation=evaluation(dataset.protocol, masks=args.masks),
  )
