"""Query detectors as mmdetection and Detic have them: DETR and Deformable DETR.

  --config configs/query.py                                                DETR R50 on COCO, 150 epochs
  --config configs/query.py:method=deformable_detr,refine=true,two_stage=true
  --config configs/query.py:method=deformable_detr,upstream=detic,dataset=lvis_v1

CHOICES lists the arguments. configs/zoo.csv says which of these strings is which upstream config.
"""

from ml_collections import ConfigDict

from configs import arguments, rcnn
from configs.base import base_config

CHOICES = {
  # Whose settings. detic: two stages, refinement and the federated loss, whatever else is asked for.
  'upstream': ('mmdet', 'detic'),
  'method': ('detr', 'deformable_detr'),
  'refine': ('false', 'true'),  # the boxes of one layer are the references of the next
  'two_stage': ('false', 'true'),  # queries begin with the best boxes that the encoder proposes
  'backbone': ('r50', 'r18', 'r34', 'r101'),
  'dataset': ('coco', 'lvis_v1', 'lvis_v0.5'),
  'schedule': ('', '50e', '150e', '500e', '2x', '4x'),  # '': the first of the method
}

SIZES = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
EPOCHS = {'50e': (50, 40), '150e': (150, 100), '500e': (500, 334)}  # and after which the learning rate falls
IMAGES = {'2x': 16, '4x': 32}  # of a step of Detic's, of which there are as many in either


def get_config(variant: str = '') -> ConfigDict:
  """The complete configuration of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  config = base_config()
  model = config.model
  del model.rpn, model.roi, model.neck
  model.name = args.method
  depth, _, _ = rcnn.NETWORKS[args.backbone]
  model.backbone.depth = depth
  METHODS[args.method](model)
  if args.method == 'deformable_detr':
    set_deformable(config, args)
  set_dataset(config, args)
  set_optimizer(config.train, args)
  set_schedule(config.train, args)
  return config.lock()


def detr(model: ConfigDict) -> None:
  """One map of stride 32, 100 queries."""
  model.neck = {'name': 'channel_mapper', 'levels': (5,), 'channels': 256, 'norm': '', 'use_bias': True}
  model.encoder = {'layers': 6, 'heads': 8, 'feed_forward': 2048, 'dropout': 0.1}
  model.decoder = {'queries': 100, 'layers': 6, 'heads': 8, 'feed_forward': 2048, 'dropout': 0.1}
  model.position_offset = 0.0  # of rows and columns that count from 1, see models/transformers/cells.py
  model.class_loss = {'name': 'cross_entropy', 'background_weight': 0.1}
  model.match = {'class_weight': 1.0, 'box_weight': 5.0, 'giou_weight': 2.0}  # of costs
  model.loss_weights = {'class': 1.0, 'box': 5.0, 'giou': 2.0}
  model.test = query_test()


def deformable_detr(model: ConfigDict) -> None:
  """Four levels of stride 8 to 64, 300 queries, four points a head and level."""
  model.neck = {
    'name': 'channel_mapper',
    'levels': (3, 4, 5, 6),
    'channels': 256,
    'norm': 'gn',
    'use_bias': False,  # of the convolutions before the norm
  }
  model.encoder = {'layers': 6, 'heads': 8, 'points': 4, 'feed_forward': 1024, 'dropout': 0.1}
  model.decoder = {'queries': 300, 'refine': False, **model.encoder.to_dict()}
  model.position_offset = -0.5
  model.class_loss = {'name': 'focal', 'alpha': 0.25, 'gamma': 2.0}
  model.match = {'class_weight': 2.0, 'box_weight': 5.0, 'giou_weight': 2.0}
  model.loss_weights = {'class': 2.0, 'box': 5.0, 'giou': 2.0}
  # Of the cells of the encoder; name '': there are none, and queries are learned.
  model.proposals = {'name': '', 'loss_weights': {'class': 2.0, 'box': 5.0, 'giou': 2.0}}
  model.test = query_test()


METHODS = {'detr': detr, 'deformable_detr': deformable_detr}


def query_test() -> dict:
  """Of all pairs of a query and a class (DETR: of all queries) the best; nothing is suppressed."""
  return {
    'score_threshold': 0.0,
    'detections': 100,
    'clip': True,  # boxes to the image; Detic: False
  }


def set_deformable(config: ConfigDict, args) -> None:
  """Refinement and two stages; Detic's form, in which the losses of the first stage have no weights."""
  model = config.model
  detic = args.upstream == 'detic'
  model.decoder.refine = detic or args.refine == 'true'
  if detic or args.two_stage == 'true':
    model.proposals.name = 'cells'
  if detic:
    model.neck.use_bias = True
    model.class_loss = {'name': 'federated_focal', 'alpha': 0.25, 'gamma': 2.0, 'slots': 50, 'power': 0.5}
    model.proposals.loss_weights = {'class': 1.0, 'box': 1.0, 'giou': 1.0}
    model.test.clip = False


def set_dataset(config: ConfigDict, args) -> None:
  """Where the data is, how training images are cut, and how it is scored; boxes only."""
  config.data.dir = f'data/{args.dataset.partition("_")[0]}'
  config.data.mask_size = config.data.max_vertices = 0
  config.data.resize.sizes = SIZES
  config.data.resize.crop.probability = 0.5
  if args.method == 'deformable_detr':
    config.data.resize.crop.max_size = 4200  # no limit: 7 times the largest of the sizes that crops are made at
  config.eval.iou_types = ('bbox',)
  config.train.best_metric = 'bbox/AP'
  if args.dataset.startswith('lvis'):
    config.model.test.detections = 300
    if args.dataset == 'lvis_v0.5':
      rcnn.set_lvis_v05(config.data)
    return
  config.data.name = config.eval.protocol = 'coco'
  config.data.sampler.name = 'uniform'
  config.data.train = ('annotations/instances_train2017.json', 'annotations/train.json', 'train.json')
  config.data.val = ('annotations/instances_val2017.json', 'annotations/val.json', 'val.json')


def set_optimizer(train: ConfigDict, args) -> None:
  """AdamW; the backbone, and what says where to look, learn at a tenth of the rate."""
  train.optimizer.update(name='adamw', weight_decay=1e-4, weight_decay_norm=1e-4, clip_norm=0.1)
  factors = {'^backbone/': 0.1}
  base_lr, batch_size = 1e-4, 16
  if args.method == 'deformable_detr':
    factors['/sampling_offsets/'] = 0.1
    if not (args.upstream == 'detic' or args.two_stage == 'true'):
      factors['/reference_points/'] = 0.1
    base_lr, batch_size = 2e-4, 32
  if args.upstream == 'detic':
    train.optimizer.clip_norm = 0.01
  train.optimizer.lr_factors = factors
  train.batch_size = batch_size
  train.schedule.update(base_lr=base_lr, base_batch_size=batch_size, warmup_steps=0)


def set_schedule(train: ConfigDict, args) -> None:
  """How long, and when the learning rate falls, once."""
  if args.upstream == 'detic':
    train.batch_size = train.schedule.base_batch_size = rcnn.chosen(IMAGES, with_default(args, '4x'))
    train.steps, train.schedule.milestones = 180_000, (150_000,)
    return
  epochs, milestone = rcnn.chosen(EPOCHS, with_default(args, '150e' if args.method == 'detr' else '50e'))
  per_epoch = -(-rcnn.EPOCH[args.dataset] // train.batch_size)
  train.steps, train.schedule.milestones = epochs * per_epoch, (milestone * per_epoch,)


def with_default(args, schedule: str):
  """The arguments with a schedule."""
  args.schedule = args.schedule or schedule
  return args
