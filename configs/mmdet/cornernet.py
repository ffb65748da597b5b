"""CornerNet (Law & Deng, 2018) as in mmdetection: cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco and similar.

  --config configs/mmdet/cornernet.py:batch=48
  --config configs/mmdet/cornernet.py:mirror=true     also detects in the mirror image, as for the published accuracy

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, dense_heads, detections, models, necks, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'batch': ('50', '48', '96'),  # images per step
  'mirror': (False, True),  # also detect in the mirror image
}
PER_GPU = {'50': 5, '48': 6, '96': 3}  # upstream's images per GPU


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  coco, weights = datasets.DATASETS['coco'], backbones.SCRATCH
  test = detections.cornernet(coco.detections)
  return experiment(
    model=models.dense(
      weights,
      backbone=backbones.hourglass104(weights.norm),
      neck=necks.unchanged(),
      head=dense_heads.cornernet(images=PER_GPU[args.batch]),
      test=detections.mirrored(test) if args.mirror else test,
    ),
    data=datasets.center_cropped('coco', size=511, test_size=767),
    train=schedules.training(
      **schedules.epochs(210, (180,), coco.images, batch_size=int(args.batch)),
      base_lr=5e-4,
      warmup_steps=500,
      warmup_factor=1 / 3,
      optimizer=schedules.adam(clip_norm=35.0),
    ),
    evaluation=evaluation(coco.protocol, masks=False),
  )
