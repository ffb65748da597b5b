"""Cascade R-CNN (Cai & Vasconcelos, 2018) as in Detectron2: Misc/cascade_mask_rcnn_R_50_FPN_1x and similar.

  --config configs/detectron2/cascade_rcnn.py:masks=true,schedule=3x

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'masks': (False, True),
  'backbone': backbones.NETWORKS,
  'weights': ('', *backbones.DETECTRON2),  # initial weights of the backbone; '': those of Detectron2's zoo
  'deformable': backbones.DEFORMABLE,  # convolutions of the backbone's last stages
  'sizes': datasets.SIZES,  # of training images
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5'),
  'schedule': ('', '1x', '2x', '3x'),  # '': the data set's first
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.detectron2(args.backbone, args.weights)
  dataset = datasets.DATASETS[args.dataset]
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights, args.deformable),
      neck=necks.fpn(weights.head_norm),
      proposals=rpn.rpn(train=(2000, 2000)),
      roi=roi.roi(
        box_head=roi.box_head(weights.head_norm, class_agnostic=True),
        mask_head=roi.mask_head(weights.head_norm) if args.masks else None,
        cascade=roi.detectron2_cascade(),
      ),
      test=detections.two_stage(dataset.score_threshold, dataset.detections),
    ),
    data=datasets.detectron2(args.dataset, args.sizes),
    train=schedules.detectron2(args.dataset, args.schedule),
    evaluation=evaluation(dataset.protocol, masks=args.masks),
  )
