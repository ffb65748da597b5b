"""DETR (Carion et al., 2020) as in mmdetection: detr/detr_r50_8xb2-150e_coco and similar.

  --config configs/mmdet/detr.py:backbone=r101,schedule=500e

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, queries, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': ('r50', 'r18', 'r34', 'r101'),
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5'),
  'schedule': ('150e', '50e', '500e'),
}
EPOCHS = {'50e': (50, (40,)), '150e': (150, (100,)), '500e': (500, (334,))}  # (epochs, milestones)


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.FIXED_TORCHVISION
  dataset = datasets.DATASETS[args.dataset]
  return experiment(
    model=models.queries(
      'detr',
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.channel_mapper((5,), norm='', use_bias=True),
      transformer=queries.detr(),
      test=detections.queries(dataset.detections),
    ),
    data=datasets.for_queries(args.dataset, crop_max_size=1333),
    train=schedules.training(
      **schedules.epochs(*EPOCHS[args.schedule], dataset.images, batch_size=16),
      base_lr=1e-4,
      warmup_steps=0,
      optimizer=schedules.adamw(clip_norm=0.1, lr_factors={'^backbone/': 0.1}),
    ),
    evaluation=evaluation(dataset.protocol, masks=False),
  )
