"""Faster R-CNN with FCOS as proposal generator, as in mmdetection: faster_rcnn/faster-rcnn_r50_fpn_fcos-rpn_1x_coco.

  --config configs/mmdet/fcos_rpn.py:backbone=r101

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, detections, models, necks, roi, rpn, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {'backbone': backbones.NETWORKS, 'schedule': ('1x', '2x')}
LEVELS = (3, 4, 5, 6, 7)


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  weights, coco = backbones.mmdet(args.backbone), datasets.DATASETS['coco']
  return experiment(
    model=models.two_stage(
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.fpn(levels=LEVELS, extra='output', extra_relu=True),
      proposals=rpn.fcos(),
      # Upstream counts levels from the finest one, so RoIs are pooled from one level coarser than on levels 2 to 6.
      roi=roi.mmdet(box_head=roi.box_head(), levels=LEVELS, canonical_level=5),
      test=detections.two_stage(coco.score_threshold, coco.detections, drop_empty_boxes=False),
    ),
    data=datasets.mmdet('coco'),
    train=schedules.mmdet('coco', args.schedule, warmup={'warmup_steps': 1000}),
    evaluation=evaluation(coco.protocol, masks=False),
  )
