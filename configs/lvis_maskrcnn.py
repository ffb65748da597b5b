"""Mask R-CNN on LVIS: published models, and methods for its long tail.

  --config configs/lvis_maskrcnn.py          LVIS v1, R50-FPN, repeat-factor sampling, 180k steps of 16 images
  --config configs/lvis_maskrcnn.py:v0.5     the same on LVIS v0.5
  --config configs/lvis_maskrcnn.py:mini     a small model on generated images, minutes on a laptop
  --config configs/lvis_maskrcnn.py:v1,upstream=cvpods,classifier=cosine
  --config configs/lvis_maskrcnn.py:v1,upstream=cvpods,classifier=cosine,calibration=disalign \\
    --config.train.init_from=runs/cosine       DisAlign's second stage, on the model that the line above trains

CHOICES lists the arguments; a version may come first without its name. docs/lvis.md lists the strings of the published
models.
"""

from types import SimpleNamespace

from ml_collections import ConfigDict

from configs import arguments
from configs.detectron2 import cascade_rcnn as detectron2_cascade_rcnn
from configs.detectron2 import mask_rcnn as detectron2_mask_rcnn
from configs.detectron2.mask_rcnn_lsj import new_baseline
from configs.mmdet import cascade_rcnn as mmdet_cascade_rcnn
from configs.mmdet import mask_rcnn as mmdet_mask_rcnn
from configs.parts import long_tail, mini

CHOICES = {
  'version': ('v1', 'v0.5', 'mini'),
  # Program whose settings of images, proposals, heads and learning rate are used. '': Detectron2's, with torchvision's
  # backbone.
  'upstream': ('', 'detectron2', 'mmdet', 'cvpods'),
  'method': ('mask_rcnn', 'cascade_mask_rcnn'),
  'backbone': ('r50', 'r101', 'x101_32x4d', 'x101_64x4d', 'x101_32x8d'),
  # Sampler of training images; '': rfs, but none for cvpods, and class_balanced for crt and lws (classifier training).
  'sampler': ('', 'none', 'rfs', 'irfs', 'class_balanced'),
  'classifier': ('linear', 'cosine'),
  # Second stages on a trained model (--config.train.init_from), except tau_norm, which only changes evaluation.
  'calibration': ('none', 'disalign', 'crt', 'lws', 'tau_norm'),
  'loss': (
    'cross_entropy',
    'balanced_softmax',
    'federated',
    'equalization',
    'equalization_v2',
    'droploss',
    'acsl',
    'seesaw',
    'seesaw_normed_mask',
    'balanced_group_softmax',
  ),
  'copy_paste': ('none', 'simple', 'rare'),
  'recipe': ('multiscale', 'lsj'),
  # 1x: the program's 1x for this version; '': 1x, or for a second stage 9k (v1) and 4.5k (v0.5).
  'schedule': ('', '1x', '2x', '90k', '180k', '9k', '4.5k'),
}
OF_MINI = ('version', 'sampler', 'classifier', 'calibration', 'loss', 'copy_paste')  # arguments of mini

PROGRAMS = {  # the models of `upstream`; DisAlign's on cvpods are Detectron2's
  '': (detectron2_mask_rcnn, detectron2_cascade_rcnn),
  'detectron2': (detectron2_mask_rcnn, detectron2_cascade_rcnn),
  'mmdet': (mmdet_mask_rcnn, mmdet_cascade_rcnn),
  'cvpods': (detectron2_mask_rcnn, detectron2_cascade_rcnn),
}
SECOND_STAGE = {'v1': '9k', 'v0.5': '4.5k'}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  if '=' not in variant.partition(',')[0]:
    variant = f'version={variant or "v1"}'
  args = arguments.parse(variant, CHOICES)
  config = (small(args) if args.version == 'mini' else published(args)).unlock()
  config.model.roi.update(long_tail.heads(args.loss, args.classifier))
  config.model.roi.class_loss = long_tail.CLASS_LOSSES[args.loss]
  config.data.sampler.name = long_tail.SAMPLERS[args.sampler or default_sampler(args.upstream, args.calibration)]
  config.data.copy_paste.name = args.copy_paste.removeprefix('none')
  config.update(long_tail.second_stage(args.calibration))
  if args.calibration == 'disalign':
    config.model.roi.class_loss = long_tail.reweighted()
  return config.lock()


def published(args: SimpleNamespace) -> ConfigDict:
  """Makes the config with the model and schedule of an upstream program."""
  mask_rcnn, cascade_rcnn = PROGRAMS[args.upstream]
  chosen = f'dataset=lvis_{args.version},backbone={args.backbone}'
  if not args.upstream:
    chosen += ',weights=torchvision'
  if args.schedule in ('1x', '2x'):
    chosen += f',schedule={args.schedule}'
  is_cascade = args.method == 'cascade_mask_rcnn'
  config = (cascade_rcnn.get_config(f'masks=true,{chosen}') if is_cascade else mask_rcnn.get_config(chosen)).unlock()
  if args.upstream == 'cvpods' and args.version == 'v0.5' and args.calibration == 'none':
    config.model.test.score_threshold = 0.0
  if args.schedule in long_tail.STEPS:
    config.train.steps, config.train.schedule.milestones = long_tail.STEPS[args.schedule]
  if args.recipe == 'lsj':
    config.update(new_baseline())
    config.train.steps //= 4  # the same number of images at 64 per step
    config.train.schedule.milestones = tuple(step // 4 for step in config.train.schedule.milestones)
  if is_second_stage(args.calibration) and not args.schedule:
    config.train.steps, config.train.schedule.milestones = long_tail.STEPS[SECOND_STAGE[args.version]]
  return config


def small(args: SimpleNamespace) -> ConfigDict:
  """Makes the config of the small model, which has one backbone and one schedule."""
  if strangers := [name for name in vars(args) if name not in OF_MINI and vars(args)[name] != CHOICES[name][0]]:
    raise ValueError(f'the mini config has no {", ".join(strangers)}: its arguments are {", ".join(OF_MINI)}')
  config = mini.mask_rcnn(detectron2_mask_rcnn.get_config('dataset=lvis_v1,weights=torchvision')).unlock()
  if is_second_stage(args.calibration):
    config.train.steps, config.train.schedule.milestones = 100, (80,)
  return config


def default_sampler(upstream: str, calibration: str) -> str:
  """Default sampler of training images, for a program and a calibration."""
  if calibration in ('crt', 'lws'):
    return 'class_balanced'
  return 'none' if upstream == 'cvpods' else 'rfs'


def is_second_stage(calibration: str) -> bool:
  """True if only a part of a trained model is trained."""
  return calibration not in ('none', 'tau_norm')
