"""The semantic head of Panoptic FPN alone (Kirillov et al., 2019), as in Detectron2: Misc/semantic_R_50_FPN_1x.

  --config configs/detectron2/semantic_fpn.py:backbone=r101

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, pyramid_tasks, schedules
from configs.parts.experiment import experiment, semantic_evaluation

CHOICES = {
  'backbone': backbones.NETWORKS,
  'sizes': datasets.SIZES,  # of training images
  'schedule': ('1x', '2x', '3x'),
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.detectron2(args.backbone)
  return experiment(
    model=models.pyramid_network(
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.fpn(),
      pyramid_tasks=pyramid_tasks.semantic_fpn(),
      test=detections.none(),
    ),
    data=datasets.detectron2('coco', args.sizes, semantic=datasets.PANOPTIC_STUFF),
    train=schedules.detectron2('coco', args.schedule),
    evaluation=semantic_evaluation('panoptic_stuff_val2017'),
  )
