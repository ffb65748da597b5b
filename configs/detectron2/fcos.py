"""FCOS (Tian et al., 2019) as in Detectron2: COCO-Detection/fcos_R_50_FPN_1x.

  --config configs/detectron2/fcos.py
  --config configs/detectron2/fcos.py:mini      a small one on generated images

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, dense_heads, detections, mini, models, necks, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  'backbone': backbones.NETWORKS,
  'weights': ('', 'torchvision', 'msra'),  # initial weights of the backbone; '': those of Detectron2's zoo
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
  # FCOS's scores are square roots of products, which are larger than the products.
  score_threshold = {'coco': 0.2}.get(args.dataset, dataset.score_threshold)
  return experiment(
    model=models.dense(
      weights,
      backbone=backbones.resnet(args.backbone, weights),
      neck=necks.fpn(levels=(3, 4, 5, 6, 7), extra='output', extra_relu=True),
      head=dense_heads.fcos(
        conv_bias=True,
        centerness='box',
        scales=False,
        radius=1.5,
        range_ends=False,
        distances='strides',
        loss='giou',
        weigh_boxes=False,
        normalizer=dense_heads.running_normalizer(300.0),
        centerness_score='root',
      ),
      test=detections.dense(score_threshold, dataset.detections, iou=0.6),
    ),
    data=datasets.detectron2(args.dataset, args.sizes, max_vertices=0),
    train=schedules.detectron2(args.dataset, args.schedule, base_lr=0.01),
    evaluation=evaluation(dataset.protocol, masks=False),
  )
