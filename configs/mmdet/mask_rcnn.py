"""Mask R-CNN (He et al., 2017) as in mmdetection: mask_rcnn/mask-rcnn_r50_fpn_1x_coco and similar.

  --config configs/mmdet/mask_rcnn.py:backbone=r101,schedule=2x

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, layouts, models, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': backbones.NETWORKS,
  'weights': ('', *backbones.MMDET),  # initial weights of the backbone; '': torchvision's
  'neck': ('fpn', 'c4'),
  'deformable': backbones.DEFORMABLE,  # convolutions of the backbone's last stages
  'legacy': (False, True),  # with the coordinates of mmdetection 1.x
  'sizes': datasets.SIZES,  # of training images
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5', 'cityscapes', 'deepfashion'),
  'schedule': ('', '1x', '2x', '3x', '6x', '15e', '24e', '36e'),  # '': the data set's first
}
RPN = {'fpn': {}, 'c4': {'border': 0}}
ROI = {'fpn': {'low_quality_matches': 'gt_claims', 'low_quality_min_iou': 0.5}, 'c4': {}}
BOX_LOSS = {'cityscapes': {'beta': 1.0}}
DECAY = {'scratch_gn': {'norm_decay': 0.0}}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  make_rpn, make_roi = (rpn.mmdet_1x, roi.mmdet_1x) if args.legacy else (rpn.mmdet, roi.mmdet)
  weights = backbones.mmdet(args.backbone, args.weights)
  layout = layouts.LAYOUTS[args.neck]
  dataset = datasets.DATASETS[args.dataset]
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights, args.deformable, **layout.backbone),
      neck=layout.neck(weights.head_norm),
      proposals=make_rpn(**layout.rpn, **RPN[args.neck]),
      roi=make_roi(
        **layout.roi,
        **layout.heads(weights.head_norm, masks=True),
        **ROI[args.neck],
        **BOX_LOSS.get(args.dataset, {}),
      ),
      test=detections.two_stage(dataset.score_threshold, dataset.detections, drop_empty_boxes=False),
    ),
    data=datasets.mmdet(args.dataset, args.sizes),
    train=schedules.mmdet(args.dataset, args.schedule, optimizer=DECAY.get(args.weights, {})),
    evaluation=evaluation(dataset.protocol, masks=True),
  )
