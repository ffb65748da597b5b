"""RetinaNet (Lin et al., 2017) as in mmdetection: retinanet/retinanet_r50_fpn_1x_coco and similar.

  --config configs/mmdet/retinanet.py:backbone=r101,schedule=2x
  --config configs/mmdet/retinanet.py:mini                        a small one on generated images

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, dense_heads, detections, mini, models, necks, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': backbones.NETWORKS,
  'weights': ('', 'torchvision', 'msra', 'detectron1'),  # initial weights of the backbone; '': torchvision's
  'deformable': backbones.DEFORMABLE,  # convolutions of the backbone's last stages
  'legacy': (False, True),  # with the coordinates of mmdetection 1.x
  'sizes': datasets.SIZES,  # of training images
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5', 'voc'),
  'schedule': ('', '1x', '2x', '3x', '36e', '90k', '200ep'),  # '': the data set's first
}
LEGACY = {False: {}, True: {'rounded': True, 'legacy_plus_one': True, 'beta': 0.11}}


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
      neck=necks.fpn(levels=(3, 4, 5, 6, 7), extra='input'),
      head=dense_heads.retinanet(
        anchor_order='ratio_major',
        scale_clamp='symmetric',
        low_quality_matches='gt_claims',
        train_anchors='image',
        normalizer=dense_heads.batch_normalizer('images'),
        **LEGACY[args.legacy],
      ),
      test=detections.dense(
        dataset.score_threshold, dataset.detections, clip_before_nms=True, legacy_plus_one=args.legacy
      ),
    ),
    data=datasets.mmdet(args.dataset, args.sizes),
    train=schedules.mmdet(args.dataset, args.schedule, base_lr=0.01),
    evaluation=evaluation(dataset.protocol, masks=False),
  )
