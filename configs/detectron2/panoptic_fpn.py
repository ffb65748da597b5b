"""Panoptic FPN (Kirillov et al., 2019) as in Detectron2: COCO-PanopticSegmentation/panoptic_fpn_R_50_1x and similar.

  --config configs/detectron2/panoptic_fpn.py:backbone=r101,schedule=3x

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, pyramid_tasks, roi, rpn, schedules
from configs.parts.experiment import experiment, panoptic_evaluation

CHOICES = {
  'cascade': (False, True),  # three box heads
  'backbone': backbones.NETWORKS,
  'weights': ('', *backbones.DETECTRON2),  # initial weights of the backbone; '': those of Detectron2's zoo
  'deformable': backbones.DEFORMABLE,  # deformable convolutions in the backbone's last stages
  'sizes': datasets.SIZES,  # of training images
  'schedule': ('1x', '3x', '135k'),
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.detectron2(args.backbone, args.weights)
  dataset = datasets.DATASETS['coco']
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights, args.deformable),
      neck=necks.fpn(weights.head_norm),
      proposals=rpn.rpn(**{'train': (2000, 2000)} if args.cascade else {}),
      roi=roi.roi(
        box_head=roi.box_head(class_agnostic=args.cascade),
        mask_head=roi.mask_head(weights.head_norm),
        cascade=roi.detectron2_cascade() if args.cascade else None,
      ),
      pyramid_tasks=pyramid_tasks.semantic_fpn(loss_weight=0.5),
      test={**detections.two_stage(dataset.score_threshold, dataset.detections), 'panoptic': detections.panoptic()},
    ),
    data=datasets.detectron2('coco', args.sizes, semantic=datasets.PANOPTIC_STUFF),
    train=schedules.detectron2('coco', args.schedule),
    evaluation=panoptic_evaluation('annotations/panoptic_val2017.json', 'panoptic_val2017'),
  )
