"""Region proposal network (Ren et al., 2015) as in mmdetection: rpn/rpn_r50_fpn_1x_coco and similar.

  --config configs/mmdet/rpn.py:backbone=r101

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, layouts, models, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': backbones.NETWORKS,
  'weights': ('', 'torchvision', 'msra'),  # initial weights of the backbone; '': torchvision's
  'neck': ('fpn', 'c4'),
  'sizes': datasets.SIZES,  # of training images
  'schedule': ('1x', '2x'),
}
PROPOSALS = {'fpn': (2000, 1000), 'c4': (12000, 2000)}  # in evaluation: a level before suppression, an image after it


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.mmdet(args.backbone, args.weights)
  layout = layouts.LAYOUTS[args.neck]
  dataset = datasets.DATASETS['coco']
  return experiment(
    model=models.proposal_network(
      weights,
      backbone=backbones.resnet(args.backbone, weights, **layout.backbone),
      neck=layout.neck(''),
      proposals=rpn.mmdet(**{**layout.rpn, 'test': PROPOSALS[args.neck]}),
      test=detections.two_stage(dataset.score_threshold, dataset.detections, drop_empty_boxes=False),
    ),
    data=datasets.mmdet('coco', args.sizes),
    train=schedules.mmdet('coco', args.schedule),
    evaluation=evaluation('proposals', masks=False),
  )
