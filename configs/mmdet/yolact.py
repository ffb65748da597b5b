"""YOLACT (Bolya et al., 2019) as in mmdetection: yolact/yolact_r50_1xb8-55e_coco and similar.

  --config configs/mmdet/yolact.py:backbone=r101
  --config configs/mmdet/yolact.py:mini          a small one on generated images

CHOICES lists the arguments. Images are stretched and flipped; upstream also expands them, crops them by their
objects' overlap, changes their colours, and leaves out objects with a side of less than four pixels.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, dense_heads, detections, mini, models, necks, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': ('r50', 'r101'),
  'batch': ('8', '64'),  # images per step
}
# Torchvision's weights, all trained; mean and deviation are rounded differently.
WEIGHTS = backbones.Weights(
  'pytorch', 'sync_bn', pixel_mean=(123.68, 116.78, 103.94), pixel_std=(58.4, 57.12, 57.38), frozen_stages=-1
)
STEP = {  # by images per step
  '8': {'base_lr': 1e-3, 'warmup_steps': 500, 'clip_norm': 0.0},
  '64': {'base_lr': 8e-3, 'warmup_steps': 1000, 'clip_norm': 35.0},
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES, or of 'mini'."""
  if variant == 'mini':
    return mini.yolact(get_config())
  args = arguments.parse(variant, CHOICES)
  coco, step = datasets.DATASETS['coco'], STEP[args.batch]
  return experiment(
    model=models.dense(
      WEIGHTS,
      backbone=backbones.resnet(args.backbone, WEIGHTS),
      neck=necks.fpn(levels=(3, 4, 5, 6, 7), extra='input', upsample='bilinear'),
      head=dense_heads.yolact(),
      test=detections.yolact(coco.score_threshold, coco.detections),
    ),
    data=coco.data(max_vertices=0, resize='stretch', canvases=((550, 550),)),
    train=schedules.training(
      **schedules.epochs(55, (20, 42, 49, 52), coco.images, batch_size=int(args.batch)),
      base_lr=step['base_lr'],
      warmup_steps=step['warmup_steps'],
      warmup_factor=0.1,
      optimizer=schedules.sgd(weight_decay=5e-4, norm_decay=1.0, clip_norm=step['clip_norm']),
    ),
    evaluation=evaluation(coco.protocol, masks=True),
  )
