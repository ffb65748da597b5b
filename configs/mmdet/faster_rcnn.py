"""Faster R-CNN (Ren et al., 2015) as in mmdetection: faster_rcnn/faster-rcnn_r50_fpn_1x_coco and similar.

  --config configs/mmdet/faster_rcnn.py:backbone=r101,schedule=2x

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, layouts, models, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': backbones.NETWORKS,
  'weights': ('', *backbones.MMDET),  # initial weights of the backbone; '': torchvision's
  'neck': layouts.MMDET,
  'deformable': backbones.DEFORMABLE,  # convolutions of the backbone's last stages
  'deformable_pooling': ('', 'v1', 'v2'),  # of RoIs, for the box head
  'box_loss': roi.MMDET_IOU_LOSSES,
  'ohem': (False, True),  # train on the RoIs with the largest class losses
  'soft_nms': (False, True),  # of detections
  'legacy': (False, True),  # with the coordinates of mmdetection 1.x
  'sizes': datasets.SIZES,  # of training images
  # voc_ms: VOC with Detectron2's image sizes.
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5', 'cityscapes', 'voc', 'voc_ms'),
  'schedule': ('', '1x', '2x', '3x', '6x', '20e', '24e', '36e', '18k', '90k'),  # '': the data set's first
}
RPN = {'dc5': {'border': 0}}
BOX_LOSS = {'cityscapes': {'beta': 1.0}}
DECAY = {'scratch_gn': {'norm_decay': 0.0}}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  make_rpn, make_roi = (rpn.mmdet_1x, roi.mmdet_1x) if args.legacy else (rpn.mmdet, roi.mmdet)
  weights = backbones.mmdet(args.backbone, args.weights)
  layout = layouts.MMDET[args.neck]
  dataset = datasets.DATASETS[args.dataset]
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights, args.deformable, **layout.backbone),
      neck=layout.neck(weights.head_norm),
      proposals=make_rpn(**layout.rpn, **RPN.get(args.neck, {})),
      roi=make_roi(
        **layout.roi,
        **layout.heads(weights.head_norm, masks=False),
        **roi.MMDET_IOU_LOSSES[args.box_loss],
        **BOX_LOSS.get(args.dataset, {}),
        deformable_pooling=args.deformable_pooling,
        hard_examples=args.ohem,
      ),
      test=detections.two_stage(
        dataset.score_threshold, dataset.detections, drop_empty_boxes=False, soft_nms=args.soft_nms
      ),
    ),
    data=datasets.mmdet(args.dataset, args.sizes),
    train=schedules.mmdet(args.dataset, args.schedule, optimizer=DECAY.get(args.weights, {})),
    evaluation=evaluation(dataset.protocol, masks=False),
  )
