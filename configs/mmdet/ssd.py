"""SSD (Liu et al., 2016) as in mmdetection: ssd/ssd300_coco and ssd/ssd512_coco.

  --config configs/mmdet/ssd.py:size=512

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, dense_heads, detections, models, necks, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'size': ('300', '512'),  # of images, stretched to squares
  'schedule': ('120e',),
}
NECKS = {
  '300': {'channels': (512, 256, 256, 256), 'strides': (2, 2, 1, 1), 'padding': (1, 1, 0, 0)},
  '512': {
    'channels': (512, 256, 256, 256, 256),
    'strides': (2, 2, 2, 2, 1),
    'padding': (1, 1, 1, 1, 1),
    'last_size': 4,
  },
}
FEW, MANY = (2,), (2, 3)  # aspect ratios
ANCHORS = {
  '300': {
    'strides': (8, 16, 32, 64, 100, 300),
    'sizes': (21, 45, 99, 153, 207, 261, 315),
    'aspect_ratios': (FEW, MANY, MANY, MANY, FEW, FEW),
  },
  '512': {
    'strides': (8, 16, 32, 64, 128, 256, 512),
    'sizes': (20, 51, 133, 215, 296, 378, 460, 542),
    'aspect_ratios': (FEW, MANY, MANY, MANY, MANY, FEW, FEW),
  },
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights = backbones.VGG
  return experiment(
    model=models.dense(
      weights,
      backbone=backbones.vgg16(),
      neck=necks.ssd(**NECKS[args.size]),
      head=dense_heads.ssd(**ANCHORS[args.size]),
      test=detections.dense(score_threshold=0.02, detections=200, iou=0.45, clip_before_nms=True),
    ),
    data=datasets.stretched('coco', int(args.size)),
    train=schedules.mmdet('coco', args.schedule, base_lr=2e-3, optimizer={'weight_decay': 5e-4}),
    evaluation=evaluation('coco', masks=False),
  )
