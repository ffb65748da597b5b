"""The R-CNN family as Detectron2 and mmdetection have it: Fast, Faster, Mask and Cascade R-CNN and proposals alone.

  --config configs/rcnn.py                                             Mask R-CNN R50-FPN on COCO, as in Detectron2
  --config configs/rcnn.py:upstream=mmdet,method=cascade_rcnn,backbone=r101,schedule=20e
  --config configs/rcnn.py:method=faster_rcnn,neck=c4,dataset=voc

CHOICES lists the arguments. configs/zoo.csv says which of these strings is which upstream config.
"""

from types import SimpleNamespace

from ml_collections import ConfigDict

from configs import arguments
from configs.base import base_config

CHOICES = {
  # Whose settings. mmdet1: mmdetection with the coordinates of its version 1; cvpods: DisAlign's, like Detectron2's.
  'upstream': ('detectron2', 'mmdet', 'mmdet1', 'cvpods'),
  'method': ('mask_rcnn', 'faster_rcnn', 'fast_rcnn', 'cascade_mask_rcnn', 'cascade_rcnn', 'rpn'),
  'backbone': ('r50', 'r18', 'r34', 'r101', 'r152', 'x50_32x4d', 'x101_32x4d', 'x101_64x4d', 'x101_32x8d'),
  # What the backbone starts from; '': msra for Detectron2, torchvision for mmdetection, fair for x101_32x8d.
  'weights': ('', 'torchvision', 'msra', 'fair', 'gn', 'gn_contrib', 'gn_ws', 'syncbn', 'scratch_gn', 'scratch_syncbn'),
  'neck': ('fpn', 'c4', 'dc5'),
  'deformable': ('', 'v1', 'v1_c4_c5', 'v2', 'v2_group4'),  # convolutions of the backbone's last stages
  'deformable_pooling': ('', 'v1', 'v2'),  # of regions, for the box head
  'box_loss': ('', 'iou', 'giou', 'ciou', 'bounded_iou'),  # '': that of the method
  'class_agnostic': ('false', 'true'),  # one box and one mask a region; a cascade's boxes always are
  'classifier': ('linear', 'cosine'),
  'sampler': ('', 'uniform', 'rfs'),  # of training images; '': rfs on LVIS, but for cvpods
  # lsj: large-scale jitter, and batch norm and deeper heads with it (Ghiasi et al., 2021).
  'recipe': ('multiscale', 'plain', 'lsj'),
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5', 'cityscapes', 'voc', 'deepfashion'),
  'schedule': ('1x', '2x', '3x', '6x', '9x', '15e', '20e', '24e', '50ep', '100ep', '200ep', '400ep'),
}

NETWORKS = {  # depth, groups, channels of a group
  'r18': (18, 1, 64),
  'r34': (34, 1, 64),
  'r50': (50, 1, 64),
  'r101': (101, 1, 64),
  'r152': (152, 1, 64),
  'x50_32x4d': (50, 32, 4),
  'x101_32x4d': (101, 32, 4),
  'x101_64x4d': (101, 64, 4),
  'x101_32x8d': (101, 32, 8),
}

DEFORMABLE = {  # version, stages, groups of channels
  'v1': ('v1', (3, 4, 5), 1),
  'v1_c4_c5': ('v1', (4, 5), 1),
  'v2': ('v2', (3, 4, 5), 1),
  'v2_group4': ('v2', (3, 4, 5), 4),
}

IMAGENET_STD = (58.395, 57.12, 57.375)
WEIGHTS = {  # style, norm, order of colours in the images they expect, deviation of pixels (RGB)
  'torchvision': ('pytorch', 'bn_eval', 'RGB', IMAGENET_STD),
  'msra': ('caffe', 'frozen_bn', 'BGR', (1.0, 1.0, 1.0)),
  'fair': ('pytorch', 'frozen_bn', 'BGR', IMAGENET_STD),
  'gn': ('pytorch', 'gn', 'BGR', (1.0, 1.0, 1.0)),
  'gn_contrib': ('pytorch', 'gn', 'RGB', IMAGENET_STD),
  'gn_ws': ('pytorch', 'gn_ws', 'RGB', IMAGENET_STD),
  'syncbn': ('caffe', 'sync_bn', 'BGR', (1.0, 1.0, 1.0)),
  'scratch_gn': ('pytorch', 'gn', 'RGB', IMAGENET_STD),
  'scratch_syncbn': ('pytorch', 'sync_bn', 'BGR', IMAGENET_STD),
}

EPOCH = {'coco': 117_266, 'lvis_v1': 100_170, 'lvis_v0.5': 57_263, 'cityscapes': 2_965, 'voc': 16_551}  # images
STEPS = {  # of Detectron2, and after which of them the learning rate falls
  '1x': (90_000, (60_000, 80_000)),
  '2x': (180_000, (120_000, 160_000)),
  '3x': (270_000, (210_000, 250_000)),
}
EPOCHS = {  # of mmdetection, the same
  '1x': (12, (8, 11)),
  '2x': (24, (16, 22)),
  '3x': (36, (27, 33)),
  '6x': (73, (65, 71)),
  '15e': (15, (8, 11)),
  '20e': (20, (16, 19)),
  '24e': (24, (20, 23)),
}


def get_config(variant: str = '') -> ConfigDict:
  """The complete configuration of 'name=value,name=value', see CHOICES."""
  return make_config(arguments.parse(variant, CHOICES)).lock()


def make_config(args: SimpleNamespace) -> ConfigDict:
  """The configuration, unlocked, of a value for each name in CHOICES."""
  config = base_config()
  set_backbone(config.model, args)
  set_dataset(config, args)
  if args.upstream.startswith('mmdet'):
    set_mmdet(config, args)
  set_neck(config.model, args)
  set_method(config.model, args)
  if args.upstream == 'mmdet1':
    set_mmdet1(config.model)
  if args.recipe == 'lsj':
    set_large_scale_jitter(config)
  set_loss(config.model, args)
  set_schedule(config.train, args)
  return config


def set_backbone(model: ConfigDict, args) -> None:
  """The network, what its weights expect of images, and the norms in neck and heads that go with it."""
  depth, groups, group_width = NETWORKS[args.backbone]
  detectron2 = not args.upstream.startswith('mmdet')
  weights = args.weights or ('fair' if args.backbone == 'x101_32x8d' else 'msra' if detectron2 else 'torchvision')
  style, norm, order, std = WEIGHTS[weights]
  if detectron2 and weights == 'torchvision':
    norm = 'frozen_bn'
  if detectron2 and weights == 'scratch_gn':
    order, std = 'BGR', (1.0, 1.0, 1.0) if args.schedule == '3x' else IMAGENET_STD
  model.channel_order, model.pixel_std = order, std
  if order == 'BGR':
    model.pixel_mean = (123.675, 116.28, 103.53)
  model.backbone.update(depth=depth, groups=groups, group_width=group_width, style=style, norm=norm)
  if args.deformable:
    version, levels, groups = DEFORMABLE[args.deformable]
    model.backbone.update(deformable=version, deformable_levels=levels, deformable_groups=groups)
  if weights.startswith('scratch'):
    model.backbone.frozen_stages = -1
  if norm in ('gn', 'gn_ws', 'sync_bn'):
    set_head_norms(model, norm)


def set_head_norms(model: ConfigDict, norm: str) -> None:
  """Norms in the pyramid and the mask head, and a box head of four convolutions (Wu & He, 2018)."""
  model.neck.norm = model.roi.mask_head.norm = norm
  model.roi.box_head.update(num_convs=4, norm=norm, num_fcs=1)


def set_neck(model: ConfigDict, args) -> None:
  """A single level of stride 16 in the place of a pyramid."""
  if args.neck == 'fpn':
    return
  stage, channels = (4, 1024) if args.neck == 'c4' else (5, 2048)
  model.neck = {'name': 'single', 'stage': stage, 'level': 4}
  model.roi.levels = (4,)
  model.rpn.channels = channels
  model.rpn.anchors.sizes = ((32, 64, 128, 256, 512),)
  model.rpn.train_proposals.update(pre_nms=12000, post_nms=2000)
  model.rpn.test_proposals.update(pre_nms=6000, post_nms=1000)
  if args.neck == 'c4':
    model.backbone.num_stages = 3
    model.roi.shared_head = 'res5'
    model.roi.box_head.update(num_fcs=0, roi_size=14)
    model.roi.mask_head.update(num_convs=0, roi_size=14)
  else:
    model.backbone.dilate_last = True


def set_method(model: ConfigDict, args) -> None:
  """Which networks there are, and the settings of a cascade."""
  detectron2 = not args.upstream.startswith('mmdet')
  if args.method not in ('mask_rcnn', 'cascade_mask_rcnn'):
    model.roi.mask_head.name = ''
  model.roi.box_head.classifier = args.classifier
  model.roi.deformable_pooling = args.deformable_pooling
  if args.class_agnostic == 'true':
    model.roi.box_head.class_agnostic = model.roi.mask_head.class_agnostic = True
  if args.method == 'fast_rcnn':
    model.rpn.name = ''
  if args.method == 'rpn':
    model.name = 'proposal_network'
    model.rpn.test_proposals.post_nms = 2000 if detectron2 or args.neck == 'c4' else 1000
    if args.neck == 'c4' or not detectron2:
      model.rpn.test_proposals.pre_nms = model.rpn.train_proposals.pre_nms
  if args.method in ('cascade_rcnn', 'cascade_mask_rcnn'):
    model.name = 'cascade_rcnn'
    model.rpn.train_proposals.post_nms = 2000
    model.roi.box_head.class_agnostic = True
    model.roi.cascade = detectron2_cascade() if detectron2 else mmdet_cascade()


def detectron2_cascade() -> dict:
  """Later stages are trained on the first one's regions, refined; features pass a third of their gradient."""
  return {
    'ious': (0.5, 0.6, 0.7),
    'coder_weights': ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0)),
    'loss_weights': (1.0, 1.0, 1.0),
    'resample': False,  # sample regions for every stage anew, the objects' own boxes among them
    'feature_gradient': 1 / 3,
    'average': 'probabilities',  # over the stages; or 'logits'
    'mask_heads': 'first',  # one, trained with the first stage; or 'every'
  }


def mmdet_cascade() -> dict:
  """Every stage samples anew; later losses weigh less; the deviations are rounded, so weights are not whole numbers."""
  return {
    'ious': (0.5, 0.6, 0.7),
    'coder_weights': ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (1 / 0.033, 1 / 0.033, 1 / 0.067, 1 / 0.067)),
    'loss_weights': (1.0, 0.5, 0.25),
    'resample': True,
    'feature_gradient': 1.0,
    'average': 'logits',
    'mask_heads': 'every',
  }


def set_mmdet(config: ConfigDict, args) -> None:
  """What mmdetection does otherwise than Detectron2."""
  config.data.max_vertices = 0  # mask targets are cut out of bitmaps
  model = config.model
  model.rpn.anchors.major = 'aspect_ratio'
  model.rpn.coder.clamp = model.roi.coder.clamp = 'both'
  model.rpn.matcher.update(low_quality='object', low_quality_min_iou=0.3)
  model.rpn.update(train_anchors='image', normalizer=0)
  model.test.drop_empty = False
  cascade = args.method.startswith('cascade')
  if args.method == 'mask_rcnn' and args.neck == 'fpn' or args.upstream == 'mmdet1' and not cascade:
    model.roi.matcher.update(low_quality='object', low_quality_min_iou=0.5)
  if cascade:
    model.rpn.border = 0
    model.rpn.loss.beta, model.roi.loss.beta = 1 / 9, 1.0
  if args.neck == 'dc5' or args.neck == 'c4' and args.method == 'mask_rcnn':
    model.rpn.border = 0
  if args.dataset == 'cityscapes':
    model.roi.loss.beta = 1.0
  config.train.optimizer.weight_decay_norm = (
    0.0 if args.weights == 'scratch_gn' else config.train.optimizer.weight_decay
  )
  config.train.schedule.warmup_steps = 500


def set_mmdet1(model: ConfigDict) -> None:
  """Inclusive corners, whole-pixel anchors, RoIAlign without the shift of half a pixel."""
  model.rpn.anchors.rounded = True
  model.rpn.coder.extra = model.roi.coder.extra = 1
  model.roi.aligned, model.roi.sampling_ratio = False, 2
  model.rpn.train_proposals.post_nms = 2000
  model.rpn.loss.beta, model.roi.loss.beta = 1 / 9, 1.0


def set_loss(model: ConfigDict, args) -> None:
  """An IoU loss of boxes; Detectron2 has it for proposals too."""
  if not args.box_loss:
    return
  is_mmdet = args.upstream.startswith('mmdet')
  name = 'ciou_gated' if args.box_loss == 'ciou' and is_mmdet else args.box_loss
  model.roi.loss.update(name=name, weight=12.0 if args.box_loss == 'ciou' else 10.0)
  if not is_mmdet:
    model.rpn.loss.update(name=name, weight=2.0)


def set_large_scale_jitter(config: ConfigDict) -> None:
  """Detectron2's new baselines: jitter of 0.1 to 2, batch norm everywhere, two convolutions before proposals."""
  model = config.model
  model.backbone.update(norm='sync_bn', frozen_stages=-1)
  set_head_norms(model, 'sync_bn')
  model.rpn.num_convs = 2
  config.data.resize.name = 'large_scale_jitter'
  config.data.canvases = ((1024, 1024),)
  config.train.update(batch_size=64)
  config.train.optimizer.weight_decay = 4e-5
  config.train.schedule.update(base_lr=0.1, base_batch_size=64)


def set_dataset(config: ConfigDict, args) -> None:
  """Where the data is and how it is scored."""
  config.data.dir = f'data/{args.dataset.partition("_")[0]}'
  if args.method not in ('mask_rcnn', 'cascade_mask_rcnn'):
    config.eval.iou_types = ('bbox',)
    config.train.best_metric = 'bbox/AP'
  is_lvis = args.dataset.startswith('lvis')
  sampler = args.sampler or ('rfs' if is_lvis and args.upstream != 'cvpods' else 'uniform')
  config.data.sampler.name = {'rfs': 'repeat_factor', 'uniform': 'uniform'}[sampler]
  if is_lvis:
    if args.dataset == 'lvis_v0.5':
      set_lvis_v05(config.data)
    return
  if args.dataset == 'voc':
    set_voc(config, args)
    return
  config.data.name = config.eval.protocol = 'coco'
  config.data.train = ('annotations/instances_train2017.json', 'annotations/train.json', 'train.json')
  config.data.val = ('annotations/instances_val2017.json', 'annotations/val.json', 'val.json')
  config.model.test.update(score_threshold=0.05, detections=100)
  resize = config.data.resize
  if args.dataset == 'cityscapes':
    resize.update(sizes=(800, 832, 864, 896, 928, 960, 992, 1024), test_size=1024, max_size=2048)
    config.data.canvases = ((1024, 2048), (2048, 1024))
  if args.recipe == 'plain' or args.upstream.startswith('mmdet') and args.dataset == 'coco':
    resize.sizes = (800,)


def set_voc(config: ConfigDict, args) -> None:
  """Trained on trainval of 2007 and 2012, scored on the test split of 2007; objects have boxes alone."""
  if args.method in ('mask_rcnn', 'cascade_mask_rcnn'):
    raise ValueError(f"method '{args.method}' needs masks, and dataset=voc has boxes alone: choose method=faster_rcnn")
  config.data.name = config.eval.protocol = 'voc'
  config.data.dir = 'data/VOCdevkit'
  config.data.train = ('VOC2007/trainval+VOC2012/trainval',)
  config.data.val = ('VOC2007/test',)
  config.data.mask_size = config.data.max_vertices = 0
  config.train.best_metric = 'bbox/AP50_11'
  config.model.test.update(score_threshold=0.05, detections=100)
  config.data.resize.sizes = (
    (800,) if args.recipe == 'plain' else (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
  )
  if args.upstream.startswith('mmdet'):
    config.data.ignore.marked = True
    if args.neck != 'c4':
      config.data.ignore.min_side = 33  # mmdetection: 32, of boxes that end a pixel earlier
      config.data.resize.update(sizes=(600,), test_size=600, max_size=1000)
      config.data.canvases = ((608, 1024), (1024, 608))


def set_lvis_v05(data: ConfigDict) -> None:
  """The files of LVIS v0.5 in the place of v1's."""
  data.train = ('annotations/lvis_v0.5_train.json', 'lvis_v0.5_train.json')
  data.val = ('annotations/lvis_v0.5_val.json', 'lvis_v0.5_val.json')
  data.records = 'records_v0.5'


def set_schedule(train: ConfigDict, args) -> None:
  """How long, and at which learning rate: Detectron2 counts steps, mmdetection epochs."""
  if args.recipe == 'lsj':
    train.steps = int(args.schedule.removesuffix('ep')) * EPOCH['coco'] // 64
    train.schedule.milestones = tuple(int(share * train.steps) for share in (0.9, 0.96))
    train.schedule.update(warmup_steps=500, warmup_factor=0.067)
  elif args.dataset == 'voc' and (args.neck == 'c4' or not args.upstream.startswith('mmdet')):
    train.steps, train.schedule.milestones, train.schedule.warmup_steps = 18_000, (12_000, 16_000), 100
  elif args.upstream.startswith('mmdet'):
    set_epochs(train, args)
  elif args.dataset == 'cityscapes':
    train.update(steps=24_000, batch_size=8)
    train.schedule.update(base_lr=0.01, base_batch_size=8, milestones=(18_000,))
  elif args.schedule == '9x':  # from scratch, with four times the images a step
    train.update(steps=202_500, batch_size=64)
    train.schedule.update(base_lr=0.08, base_batch_size=64, milestones=(187_500, 197_500))
  elif args.dataset != 'lvis_v1':  # whose steps are those of configs/base.py
    train.steps, train.schedule.milestones = chosen(STEPS, args)


def set_epochs(train: ConfigDict, args) -> None:
  """mmdetection's schedules; data sets that it repeats within an epoch count as often."""
  epochs, milestones = chosen(EPOCHS, args)
  batch_size = 16
  if args.dataset == 'cityscapes':
    epochs, milestones, batch_size = 64, (56,), 8
    train.batch_size = 8
    train.schedule.update(base_lr=0.01, base_batch_size=8)
  elif args.dataset == 'voc':
    epochs, milestones = 12, (9,)
    train.schedule.update(base_lr=0.01, warmup_steps=0)
  per_epoch = -(-EPOCH.get(args.dataset, EPOCH['coco']) // batch_size)
  train.steps, train.schedule.milestones = epochs * per_epoch, tuple(epoch * per_epoch for epoch in milestones)


def chosen(schedules: dict, args) -> tuple[int, tuple[int, ...]]:
  """Length and milestones of the schedule that is asked for."""
  if args.schedule not in schedules:
    raise ValueError(f"{args.upstream} has no schedule '{args.schedule}': choose one of {', '.join(schedules)}")
  return schedules[args.schedule]
