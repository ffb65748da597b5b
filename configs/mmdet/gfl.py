"""GFL (Li et al., 2020) as in mmdetection: gfl/gfl_r50_fpn_1x_coco and similar.

  --config configs/mmdet/gfl.py:backbone=r101
  --config configs/mmdet/gfl.py:mini             a small one on generated images

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, dense_heads, detections, mini, models, necks, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': backbones.NETWORKS,
  'weights': ('', 'torchvision', 'msra'),  # initial weights of the backbone; '': torchvision's
  'deformable': backbones.DEFORMABLE,  # convolutions of the backbone's last stages
  'sizes': datasets.SIZES,  # of training images
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5'),
  'schedule': ('1x', '2x', '3x', '200ep'),
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES, or of 'mini'."""
  if variant == 'mini':
    return mini.dense(get_config())
  args = arguments.parse(variant, CHOICES)
  weights = backbones.mmdet(args.backbone, args.weights)
  dataset = datasets.DATASETS[args.dataset]
  return experiment(
    model=models.dense(
      weights,
      backbone=backbones.resnet(args.backbone, weights, args.deformable),
      neck=necks.fpn(levels=(3, 4, 5, 6, 7), extra='output'),
      head=dense_heads.gfl(),
      test=detections.dense(dataset.score_threshold, dataset.detections, iou=0.6, clip_before_nms=True),
    ),
    data=datasets.mmdet(args.dataset, args.sizes),
    train=schedules.mmdet(args.dataset, args.schedule, base_lr=0.01),
    evaluation=evaluation(dataset.protocol, masks=False),
  )
