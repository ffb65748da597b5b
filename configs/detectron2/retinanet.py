"""RetinaNet (Lin et al., 2017) as in Detectron2: COCO-Detection/retinanet_R_50_FPN_1x and similar.

  --config configs/detectron2/retinanet.py:backbone=r101,schedule=3x
  --config configs/detectron2/retinanet.py:mini                       a small one on generated images

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, dense_heads, detections, mini, models, necks, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': backbones.NETWORKS,
  'weights': ('', 'torchvision', 'msra'),  # initial weights of the backbone; '': those of Detectron2's zoo
  'deformable': backbones.DEFORMABLE,  # convolutions of the backbone's last stages
  'sizes': datasets.SIZES,  # of training images
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5'),
  'schedule': ('', '1x', '2x', '3x'),  # '': the data set's first
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES, or of 'mini'."""
  if variant == 'mini':
    return mini.dense(get_config())
  args = arguments.parse(variant, CHOICES)
  weights = backbones.detectron2(args.backbone, args.weights)
  dataset = datasets.DATASETS[args.dataset]
  return experiment(
    model=models.dense(
      weights,
      backbone=backbones.resnet(args.backbone, weights, args.deformable),
      neck=necks.fpn(levels=(3, 4, 5, 6, 7), extra='input', extra_relu=True),
      head=dense_heads.retinanet(
        anchor_order='size_major',
        scale_clamp='max',
        low_quality_matches='best_iou',
        train_anchors='canvas',
        normalizer=dense_heads.running_normalizer(100.0),
      ),
      test=detections.dense(dataset.score_threshold, dataset.detections),
    ),
    data=datasets.detectron2(args.dataset, args.sizes, max_vertices=0),
    train=schedules.detectron2(args.dataset, args.schedule, base_lr=0.01),
    evaluation=evaluation(dataset.protocol, masks=False),
  )
