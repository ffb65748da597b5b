"""Libra R-CNN (Pang et al., 2019) as in mmdetection: libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco and similar.

  --config configs/mmdet/libra_rcnn.py:backbone=r101
  --config configs/mmdet/libra_rcnn.py:proposals=given    Fast R-CNN

CHOICES lists the arguments. Libra RetinaNet is in libra_retinanet.py.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': ('r50', 'r101', 'x101_64x4d'),
  'proposals': ('rpn', 'given'),
  'schedule': ('1x', '2x'),
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights, coco = backbones.mmdet(args.backbone), datasets.DATASETS['coco']
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.balanced_fpn(),
      proposals={'rpn': libra_rpn, 'given': rpn.given}[args.proposals](),
      roi={
        **roi.mmdet(box_head=roi.box_head()),
        'loss': {'name': 'balanced_l1', 'alpha': 0.5, 'gamma': 1.5, 'beta': 1.0, 'weight': 1.0},
        'sampler': {
          'name': 'balanced',
          'num': 512,
          'positive_fraction': 0.25,
          'bins': 3,  # of the negatives' IoUs
          # mmdetection's configs have -1, which its sampler replaces by 0 in its first image.
          'floor_iou': 0.0,
          'floor_fraction': 0.0,
        },
      },
      test=detections.two_stage(coco.score_threshold, coco.detections, drop_empty_boxes=False),
    ),
    data=datasets.mmdet('coco'),
    train=schedules.mmdet('coco', args.schedule),
    evaluation=evaluation(coco.protocol, masks=False),
  )


def libra_rpn() -> dict:
  """mmdetection's RPN with at most five negatives for every positive."""
  settings = rpn.mmdet()
  return {**settings, 'sampler': {**settings['sampler'], 'negatives_per_positive': 5}}
