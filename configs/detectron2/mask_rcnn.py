"""Mask R-CNN (He et al., 2017) as in Detectron2: COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x and similar.

  --config configs/detectron2/mask_rcnn.py:backbone=r101,schedule=3x

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, layouts, models, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': backbones.NETWORKS,
  'weights': ('', *backbones.DETECTRON2),  # initial weights of the backbone; '': those of Detectron2's zoo
  'neck': layouts.LAYOUTS,
  'deformable': backbones.DEFORMABLE,  # convolutions of the backbone's last stages
  'box_loss': roi.IOU_LOSSES,
  'class_agnostic': (False, True),  # one box and one mask per RoI
  'sizes': datasets.SIZES,  # of training images
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5', 'cityscapes'),
  'schedule': ('', '1x', '2x', '3x', '9x', '24k'),  # '': the data set's first
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.detectron2(args.backbone, args.weights)
  layout = layouts.LAYOUTS[args.neck]
  dataset = datasets.DATASETS[args.dataset]
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights, args.deformable, **layout.backbone),
      neck=layout.neck(weights.head_norm),
      proposals=rpn.rpn(**layout.rpn, **rpn.IOU_LOSSES[args.box_loss]),
      roi=roi.roi(
        **layout.roi,
        **layout.heads(weights.head_norm, masks=True, class_agnostic=args.class_agnostic),
        **roi.IOU_LOSSES[args.box_loss],
      ),
      test=detections.two_stage(dataset.score_threshold, dataset.detections),
    ),
    data=datasets.detectron2(args.dataset, args.sizes),
    train=schedules.detectron2(args.dataset, args.schedule),
    evaluation=evaluation(dataset.protocol, masks=True),
  )
