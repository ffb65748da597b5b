"""FCOS (Tian et al., 2019) as in mmdetection: fcos/fcos_r50-caffe_fpn_gn-head_1x_coco and similar.

  --config configs/mmdet/fcos.py:weights=msra,form=improved
  --config configs/mmdet/fcos.py:mini                           a small one on generated images

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.parts import backbones, datasets, dense_heads, detections, mini, models, necks, schedules
from configs.parts.experiment import evaluation, experiment

CHOICES = {
  # '': as first published; center: only points near the centre; improved: also normalised distances, centerness from
  # the box tower and a GIoU loss.
  'form': ('', 'center', 'improved'),
  'backbone': backbones.NETWORKS,
  'weights': ('', 'torchvision', 'msra', 'detectron1'),  # initial weights of the backbone; '': torchvision's
  'deformable': backbones.DEFORMABLE,  # convolutions of the backbone's last stages
  'deformable_tower': (False, True),  # the last convolution of each of the head's towers
  'sizes': datasets.SIZES,  # of training images
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5'),
  'schedule': ('1x', '2x', '3x', '200ep'),
}
BIASES = r'(?<!norm)(?<!norm\d)(?<!/offset)/bias$'  # of all layers except norms and deformable offsets
FIRST = {'conv_bias': False, 'centerness': 'class', 'radius': 0.0, 'distances': 'log_pixels', 'loss': 'iou'}
FORMS = {
  '': FIRST,
  'center': {**FIRST, 'radius': 1.5},
  'improved': {'conv_bias': True, 'centerness': 'box', 'radius': 1.5, 'distances': 'strides', 'loss': 'giou'},
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES, or of 'mini'."""
  if variant == 'mini':
    return mini.dense(get_config())
  args = arguments.parse(variant, CHOICES)
  improved = args.form == 'improved'
  weights = backbones.mmdet(args.backbone, args.weights)
  dataset = datasets.DATASETS[args.dataset]
  return experiment(
    model=models.dense(
      weights,
      backbone=backbones.resnet(args.backbone, weights, args.deformable),
      neck=necks.fpn(levels=(3, 4, 5, 6, 7), extra='output', extra_relu=True),
      head=dense_heads.fcos(
        **FORMS[args.form],
        scales=True,
        range_ends=True,
        weigh_boxes=True,
        normalizer=dense_heads.batch_normalizer('batch'),
        centerness_score='after',
        deformable_last=args.deformable_tower,
      ),
      test=detections.dense(
        dataset.score_threshold, dataset.detections, iou=0.6 if improved else 0.5, clip_before_nms=True
      ),
    ),
    data=datasets.mmdet(args.dataset, args.sizes),
    train=schedules.mmdet(
      args.dataset,
      args.schedule,
      base_lr=0.01,
      # From a third of the rate; the 500th step has the full rate.
      warmup={'warmup': 'linear' if improved else 'constant', 'warmup_steps': 499, 'warmup_factor': 1 / 3},
      optimizer={
        'lr_factors': {BIASES: 2.0},
        'bias_decay': 0.0,
        'clip_norm': 0.0 if improved and args.schedule != '200ep' else 35.0,
      },
    ),
    evaluation=evaluation(dataset.protocol, masks=False),
  )
