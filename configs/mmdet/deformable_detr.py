"""Deformable DETR (Zhu et al., 2021) as in mmdetection: deformable-detr_r50_16xb2-50e_coco and similar.

  --config configs/mmdet/deformable_detr.py:refine=true,two_stage=true

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, queries, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'refine': (False, True),  # the boxes of one layer are the references of the next
  'two_stage': (False, True),  # initialise queries with the encoder's best proposals
  'backbone': ('r50', 'r18', 'r34', 'r101'),
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5'),
}
# Layers that predict sampling positions have a tenth of the learning rate; with two stages references are not learned.
SLOW = {'^backbone/': 0.1, '/sampling_offsets/': 0.1}
SLOW_REFERENCES = {False: {'/reference_points/': 0.1}, True: {}}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.FIXED_TORCHVISION
  dataset = datasets.DATASETS[args.dataset]
  return experiment(
    model=models.queries(
      'deformable_detr',
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.channel_mapper((3, 4, 5, 6), norm='gn', use_bias=False),
      transformer=queries.deformable_detr(
        refine=args.refine,
        two_stage=args.two_stage,
        class_loss={'name': 'focal', 'alpha': 0.25, 'gamma': 2.0},
        proposal_weights=queries.loss_weights(),
      ),
      test=detections.queries(dataset.detections),
    ),
    data=datasets.for_queries(args.dataset, crop_max_size=4200),
    train=schedules.training(
      **schedules.epochs(50, (40,), dataset.images, batch_size=32),
      base_lr=2e-4,
      warmup_steps=0,
      optimizer=schedules.adamw(clip_norm=0.1, lr_factors=SLOW | SLOW_REFERENCES[args.two_stage]),
    ),
    evaluation=evaluation(dataset.protocol, masks=False),
  )
