"""Region proposal network (Ren et al., 2015) as in Detectron2: COCO-Detection/rpn_R_50_FPN_1x and similar.

  --config configs/detectron2/rpn.py:neck=c4

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, layouts, models, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': backbones.NETWORKS,
  'neck': ('fpn', 'c4'),
  'sizes': datasets.SIZES,  # of training images
  'schedule': ('1x', '2x', '3x'),
}
PROPOSALS = {'fpn': (1000, 2000), 'c4': (12000, 2000)}  # in evaluation: a level before suppression, an image after it


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.detectron2(args.backbone)
  layout = layouts.LAYOUTS[args.neck]
  dataset = datasets.DATASETS['coco']
  return experiment(
    model=models.proposal_network(
      weights,
      backbone=backbones.resnet(args.backbone, weights, **layout.backbone),
      neck=layout.neck(''),
      proposals=rpn.rpn(**{**layout.rpn, 'test': PROPOSALS[args.neck]}),
      test=detections.two_stage(dataset.score_threshold, dataset.detections),
    ),
    data=datasets.detectron2('coco', args.sizes),
    train=schedules.detectron2('coco', args.schedule),
    evaluation=evaluation('proposals', masks=False),
  )
