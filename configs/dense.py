"""Dense one-stage detectors as mmdetection and Detectron2 have them: RetinaNet, FCOS, ATSS, GFL.

  --config configs/dense.py:method=retinanet                              RetinaNet R50-FPN on COCO, as in Detectron2
  --config configs/dense.py:method=retinanet,upstream=mmdet,backbone=r101,schedule=2x
  --config configs/dense.py:method=fcos,upstream=mmdet,weights=msra,form=improved
  --config configs/dense.py:method=atss,upstream=mmdet,dataset=mini    a small one on generated images

CHOICES lists the arguments. configs/zoo.csv says which of these strings is which upstream config.
"""

from ml_collections import ConfigDict

from configs import arguments, mini, rcnn
from configs.base import base_config

CHOICES = {
  'method': ('retinanet', 'fcos', 'atss', 'gfl'),
  # Whose settings. mmdet1: mmdetection with the coordinates of its version 1.
  'upstream': ('detectron2', 'mmdet', 'mmdet1'),
  'backbone': rcnn.CHOICES['backbone'],
  # What the backbone starts from; '': msra for Detectron2, torchvision for mmdetection. detectron1: msra's networks as
  # Detectron published them, with other means of pixels.
  'weights': ('', 'torchvision', 'msra', 'detectron1'),
  'deformable': rcnn.CHOICES['deformable'],  # convolutions of the backbone's last stages
  'deformable_tower': ('false', 'true'),  # the last convolution of each of the head's towers
  # mmdetection's FCOS: as first published; with points near the centre only; with that and normalised distances,
  # centerness read off the boxes' tower and a GIoU loss.
  'form': ('', 'center', 'improved'),
  'sampler': ('', 'uniform', 'rfs'),  # of training images; '': rfs on LVIS
  # Lengths of the shorter side in training. '': upstream's, from 640 to 800 in Detectron2 and 800 in mmdetection.
  'sizes': ('', '800', '640+800', '640+672+704+736+768+800', '640-800', '480-800'),
  'recipe': ('', 'lsj'),  # lsj: large-scale jitter, 64 images a step
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5', 'voc', 'mini'),  # mini: generated images, and a small network
  'schedule': ('1x', '2x', '3x', '20e', '24e', '36e', '90k', '200ep'),
}

BASE_LR = 0.01  # of all methods here, for 16 images
BIASES = r'(?<!norm)(?<!norm\d)(?<!/offset)/bias$'  # of all layers but norms and what moves samples
DETECTRON1_MEAN = (122.7717, 115.9465, 102.9801)  # RGB


def get_config(variant: str = '') -> ConfigDict:
  """The complete configuration of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  args.neck = 'fpn'  # of rcnn's arguments
  config = base_config()
  model = config.model
  del model.rpn, model.roi
  model.name = 'dense'
  model.neck.update(levels=(3, 4, 5, 6, 7), extra='input')
  model.test = dense_test()
  set_backbone(model, args)
  set_dataset(config, args)
  if args.upstream.startswith('mmdet'):
    set_mmdet(config)
  set_schedule(config, args)
  METHODS[args.method](config, args)
  config.model.head.network.deformable_last = args.deformable_tower == 'true'
  if args.dataset == 'mini':
    set_mini(config)
  return config.lock()


def dense_test() -> dict:
  """How detections are chosen, in Detectron2's way."""
  return {
    'score_threshold': 0.0001,
    'iou': 0.5,
    'detections': 300,
    'pre_nms': 1000,  # (anchor, class) pairs a level that are decoded, best first
    'clip': 'after',  # boxes are clipped and empty ones dropped after suppression; mmdetection: 'before'
    'extra': 0,  # 1: clipped boxes end a pixel before the image does (mmdetection 1.x)
  }


def retinanet(config: ConfigDict, args) -> None:
  """Nine anchors a cell; Detectron2 divides by a running number of positives, mmdetection by the batch's own."""
  detectron2 = args.upstream == 'detectron2'
  config.model.neck.extra_relu = detectron2
  config.model.head = {
    'name': 'retinanet',
    'network': dense_network(),
    'anchors': {
      'sizes': tuple(tuple(size * 2 ** (k / 3) for k in range(3)) for size in (32, 64, 128, 256, 512)),
      'aspect_ratios': (0.5, 1.0, 2.0),  # height / width
      'major': 'size' if detectron2 else 'aspect_ratio',  # outer loop of a cell's anchors
      'offset': 0.0,  # of an anchor's centre in its cell, in strides
      'rounded': args.upstream == 'mmdet1',  # whole pixels, as mmdetection 1.x had them
    },
    'coder': {
      'weights': (1.0, 1.0, 1.0, 1.0),
      'clamp': 'above' if detectron2 else 'both',  # of scales
      'extra': int(args.upstream == 'mmdet1'),  # 1: the corners of boxes are inclusive
    },
    # low_quality: as of an RPN, see configs/base.py.
    'matcher': {
      'negative_iou': 0.4,
      'positive_iou': 0.5,
      'low_quality': 'own' if detectron2 else 'object',
      'low_quality_min_iou': 0.0,
    },
    'train_anchors': 'canvas' if detectron2 else 'image',  # 'image': those on the image's own padded size
    'border': -1,  # >= 0: anchors that cross the image by more pixels take no part in training
    'class_loss': {'alpha': 0.25, 'gamma': 2.0},
    'loss': {'name': 'smooth_l1', 'beta': 0.11 if args.upstream == 'mmdet1' else 0.0, 'weight': 1.0},
    'normalizer': running_normalizer(100.0) if detectron2 else {'name': 'images'},
  }
  config.model.test.extra = int(args.upstream == 'mmdet1')


def fcos(config: ConfigDict, args) -> None:
  """A point a cell; Detectron2's settings are mmdetection's improved ones, but for the normaliser and the scores."""
  detectron2 = args.upstream == 'detectron2'
  improved = detectron2 or args.form == 'improved'
  model = config.model
  model.neck.update(extra='output', extra_relu=True)
  model.head = {
    'name': 'fcos',
    'network': {
      **dense_network(),
      'norm': 'gn',
      'conv_bias': improved,
      'centerness': 'box' if improved else 'class',
      'scales': not detectron2,
    },
    'anchors': square_anchors(sides=1, offset=0.5),  # the points are their middles
    # The distances to the furthest side that a level is for, in pixels.
    'ranges': ((0, 64), (64, 128), (128, 256), (256, 512), (512, 1e8)),
    'matcher': {
      'radius': 1.5 if improved or args.form == 'center' else 0.0,  # strides from the object's centre; 0: all inside
      'range_ends': not detectron2,  # whether the ends of a range belong to it
    },
    'distances': 'strides' if improved else 'log_pixels',  # what the head's four numbers are
    'class_loss': {'alpha': 0.25, 'gamma': 2.0},
    'loss': {'name': 'giou' if improved else 'iou', 'weight': 1.0},
    'weigh_boxes': not detectron2,  # the box loss by centerness
    'normalizer': running_normalizer(300.0) if detectron2 else {'name': 'batch'},
    # 'root': of class probability times centerness, in all that goes by scores; 'after': the product, from ranking on.
    'centerness_score': 'root' if detectron2 else 'after',
  }
  if improved:
    model.test.iou = 0.6
  if detectron2 and args.dataset == 'coco':
    model.test.score_threshold = 0.2
  if not detectron2:
    set_fcos_training(config.train, args)


def set_fcos_training(train: ConfigDict, args) -> None:
  """Biases learn twice as fast and do not decay; gradients are clipped, but not in the improved form of 12 epochs."""
  train.optimizer.lr_factors = {BIASES: 2.0}
  train.optimizer.bias_decay = 0.0
  if args.form != 'improved' or args.recipe == 'lsj':
    train.optimizer.clip_norm = 35.0
  if args.recipe != 'lsj':
    # A third of the rate, in the improved form rising from there; the 500th step has the full one.
    warmup = 'linear' if args.form == 'improved' else 'constant'
    train.schedule.update(warmup=warmup, warmup_steps=499, warmup_factor=1 / 3)


def atss(config: ConfigDict, args) -> None:
  """One anchor a cell, of eight strides; objects choose theirs."""
  set_adaptive(config, args)
  config.model.head = {
    'name': 'atss',
    'network': {**dense_network(), 'norm': 'gn', 'conv_bias': False, 'centerness': 'box', 'scales': True},
    **adaptive_head(),
    'coder': {'weights': (10.0, 10.0, 5.0, 5.0), 'clamp': 'both'},
    'class_loss': {'alpha': 0.25, 'gamma': 2.0},
  }


def gfl(config: ConfigDict, args) -> None:
  """As ATSS; class scores tell the overlap, and the four sides are distributions over whole strides."""
  set_adaptive(config, args)
  config.model.head = {
    'name': 'gfl',
    'network': {**dense_network(), 'norm': 'gn', 'conv_bias': False, 'scales': True},
    **adaptive_head(),
    'largest': 16,  # strides that a side can be away
    'class_loss': {'beta': 2.0},
    'distribution_weight': 0.25,
  }


METHODS = {'retinanet': retinanet, 'fcos': fcos, 'atss': atss, 'gfl': gfl}


def set_adaptive(config: ConfigDict, args) -> None:
  """What ATSS and GFL share besides the head; Detectron2 does not have them."""
  if args.upstream != 'mmdet':
    raise ValueError(f'{args.upstream} does not have {args.method}: give upstream=mmdet')
  config.model.neck.extra = 'output'
  config.model.test.iou = 0.6


def adaptive_head() -> dict:
  """Anchors and how objects choose them, and the box loss."""
  return {
    'anchors': square_anchors(sides=8, offset=0.0),
    'matcher': {'num_nearest': 9},  # candidates of an object on every level
    'train_anchors': 'image',  # those on the image's own padded size
    'border': -1,  # >= 0: anchors that cross the image by more pixels take no part in training
    'loss': {'name': 'giou', 'weight': 2.0},
    'normalizer': {'name': 'images'},
  }


def square_anchors(sides: float, offset: float) -> dict:
  """A square of so many strides in every cell."""
  return {
    'sizes': tuple((sides * 2**level,) for level in (3, 4, 5, 6, 7)),
    'aspect_ratios': (1.0,),
    'major': 'size',
    'offset': offset,  # of its centre in the cell, in strides
    'rounded': False,
  }


def dense_network() -> dict:
  """Two towers of four convolutions."""
  return {
    'name': 'two_tower',
    'num_convs': 4,
    'channels': 256,
    'norm': '',  # or 'gn'
    'conv_bias': True,  # of the convolutions in the towers
    'deformable_last': False,  # the last convolution of each tower
    'centerness': '',  # the tower that it is read off, 'class' or 'box'; '': there is none
    'scales': False,  # a factor of the boxes for each level
  }


def running_normalizer(initial: float) -> dict:
  """Detectron2's number of positives by which losses are divided; 'batch' or 'images': mmdetection's."""
  return {'name': 'running', 'initial': initial, 'momentum': 0.9}


def set_backbone(model: ConfigDict, args) -> None:
  """The network, and what its weights expect of images."""
  if args.weights != 'detectron1':
    rcnn.set_backbone(model, args)
    return
  args.weights = 'msra'
  rcnn.set_backbone(model, args)
  model.pixel_mean = DETECTRON1_MEAN


def set_mini(config: ConfigDict) -> None:
  """Generated images, whose objects are small, and a network that learns them in minutes."""
  mini.set_images(config)
  mini.set_features(config.model)
  mini.set_training(config.train)
  head = config.model.head
  head.network.update(num_convs=2, channels=64, norm='gn')
  if 'ranges' in head:
    head.ranges = tuple((first / 4, last / 4) for first, last in head.ranges)
  else:
    head.anchors.sizes = tuple(tuple(3 / 8 * size for size in sizes) for sizes in head.anchors.sizes)
  config.model.test.detections = 50


def set_dataset(config: ConfigDict, args) -> None:
  """Where the data is, how it is scored, and the sizes of images in training."""
  rcnn.set_dataset(config, args)
  resize = config.data.resize
  config.data.max_vertices = 0  # there are no masks to learn
  if '-' in args.sizes:
    shortest, longest = map(int, args.sizes.split('-'))
    resize.sizes = tuple(range(shortest, longest + 1))
  elif args.sizes:
    resize.sizes = tuple(map(int, args.sizes.split('+')))


def set_mmdet(config: ConfigDict) -> None:
  """What mmdetection does otherwise than Detectron2 in all of them."""
  config.model.test.clip = 'before'
  config.train.optimizer.weight_decay_norm = config.train.optimizer.weight_decay
  config.train.schedule.warmup_steps = 500


def set_schedule(config: ConfigDict, args) -> None:
  """How long, and at which learning rate."""
  train = config.train
  if args.recipe == 'lsj':
    set_large_scale_jitter(config, args)
    return
  train.schedule.base_lr = BASE_LR
  if args.schedule == '36e':
    per_epoch = -(-rcnn.EPOCH[args.dataset] // 16)
    train.steps, train.schedule.milestones = 36 * per_epoch, (28 * per_epoch, 34 * per_epoch)
  elif args.schedule == '90k':
    train.steps, train.schedule.milestones = rcnn.STEPS['1x']
  else:
    rcnn.set_schedule(train, args)


def set_large_scale_jitter(config: ConfigDict, args) -> None:
  """mmdetection's 200 epochs of images scaled by 0.1 to 2."""
  if args.schedule != '200ep' or not args.upstream.startswith('mmdet'):
    raise ValueError('recipe=lsj is one of mmdetection, with schedule=200ep: give upstream=mmdet and that')
  config.data.resize.name = 'large_scale_jitter'
  config.data.canvases = ((1024, 1024),)
  train = config.train
  train.batch_size = 64
  train.optimizer.weight_decay = train.optimizer.weight_decay_norm = 4e-5
  train.steps = 200 * rcnn.EPOCH[args.dataset] // 64
  milestones = tuple(int(share * train.steps) for share in (22 / 25, 24 / 25))
  train.schedule.update(
    base_lr=4 * BASE_LR, base_batch_size=64, milestones=milestones, warmup_steps=1000, warmup_factor=0.067
  )
