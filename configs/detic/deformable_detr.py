"""Deformable DETR (Zhu et al., 2021) on LVIS v1 as in Detic: BoxSup-DeformDETR_L_R50_4x and 2x.

  --config configs/detic/deformable_detr.py:schedule=2x

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, queries, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {'schedule': ('4x', '2x')}
IMAGES = {'4x': 32, '2x': 16}  # per step; both have the same number of steps


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.FIXED_TORCHVISION
  dataset = datasets.DATASETS['lvis_v1']
  return experiment(
    model=models.queries(
      'deformable_detr',
      weights,
      backbone=backbones.resnet('r50', weights),
      neck=necks.channel_mapper((3, 4, 5, 6), norm='gn', use_bias=True),
      transformer=queries.deformable_detr(
        refine=True,
        two_stage=True,
        class_loss={'name': 'federated_focal', 'alpha': 0.25, 'gamma': 2.0, 'slots': 50, 'power': 0.5},
        proposal_weights={'class': 1.0, 'box': 1.0, 'giou': 1.0},
      ),
      test=detections.queries(dataset.detections, clip=False),
    ),
    data=datasets.for_queries('lvis_v1', crop_max_size=4200),
    train=schedules.training(
      steps=180_000,
      milestones=(150_000,),
      batch_size=IMAGES[args.schedule],
      base_lr=2e-4,
      warmup_steps=0,
      optimizer=schedules.adamw(clip_norm=0.01, lr_factors={'^backbone/': 0.1, '/sampling_offsets/': 0.1}),
    ),
    evaluation=evaluation(dataset.protocol, masks=False),
  )
