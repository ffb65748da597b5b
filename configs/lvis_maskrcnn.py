"""Mask R-CNN on LVIS: the published models, and the remedies for its long tail.

  --config configs/lvis_maskrcnn.py          LVIS v1, R50-FPN, repeat-factor sampling, 180k steps of 16 images
  --config configs/lvis_maskrcnn.py:v0.5     the same on LVIS v0.5
  --config configs/lvis_maskrcnn.py:mini     a small model on generated images, minutes on a laptop
  --config configs/lvis_maskrcnn.py:v1,upstream=cvpods,classifier=cosine
  --config configs/lvis_maskrcnn.py:v1,upstream=cvpods,classifier=cosine,calibration=disalign \\
    --config.train.init_from=runs/cosine       DisAlign's second stage, on the model that the line above trains

CHOICES lists the arguments; a version may stand first without its name. docs/lvis.md says which string is which
published model.
"""

from types import SimpleNamespace

from ml_collections import ConfigDict

from configs import arguments, rcnn
from configs.base import base_config
from configs.mini import make_mini

CHOICES = {
  'version': ('v1', 'v0.5', 'mini'),
  # Whose settings: of images, proposals, heads, learning rate. '': Detectron2's, with a backbone of torchvision's form.
  'upstream': ('', 'detectron2', 'mmdet', 'cvpods'),
  'method': ('mask_rcnn', 'cascade_mask_rcnn'),
  'backbone': ('r50', 'r101', 'x101_32x4d', 'x101_64x4d', 'x101_32x8d'),
  # Of training images; '': rfs, but none for cvpods and for models whose classifier is trained anew or scaled.
  'sampler': ('', 'none', 'rfs', 'irfs', 'class_balanced'),
  'classifier': ('linear', 'cosine'),
  # Second stages on a trained model (--config.train.init_from), but for tau_norm, which changes evaluation alone.
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
  # 1x: what the program calls so for this version; '': that, or of a second stage 9k for v1 and 4.5k for v0.5.
  'schedule': ('', '1x', '2x', '90k', '180k', '9k', '4.5k'),
}
OF_MINI = ('version', 'sampler', 'classifier', 'calibration', 'loss', 'copy_paste')  # the arguments that it has

SAMPLERS = {'none': 'uniform', 'rfs': 'repeat_factor', 'irfs': 'instance_repeat_factor'}
STEPS = {  # and after which of them the learning rate falls
  '90k': (90_000, (60_000, 80_000)),
  '180k': (180_000, (120_000, 160_000)),
  '9k': (9_000, (8_000,)),
  '4.5k': (4_500, (4_000,)),
}
LOSSES = {  # config.model.roi.class_loss
  'balanced_softmax': {'name': 'logit_adjusted', 'tau': 1.0, 'background': 0.75},
  'federated': {'name': 'federated', 'slots': 50, 'power': 0.5, 'prior': 0.01},
  'equalization': {'name': 'equalization', 'below': 1.76e-3, 'prior': 0.001},
  'equalization_v2': {'name': 'equalization_v2', 'mu': 0.8, 'alpha': 4.0, 'gamma': 12.0, 'prior': 0.001},
  'droploss': {'name': 'droploss', 'below': 1.76e-3, 'prior': 0.001},
  'acsl': {'name': 'acsl', 'threshold': 0.7, 'prior': 0.001},
  'seesaw': {'name': 'seesaw', 'p': 0.8, 'q': 2.0},
  'seesaw_normed_mask': {'name': 'seesaw', 'p': 0.8, 'q': 2.0},
  'balanced_group_softmax': {'name': 'balanced_group_softmax', 'bounds': (10, 100, 1000), 'others': 8},
}


def get_config(variant: str = '') -> ConfigDict:
  """The complete configuration of 'name=value,name=value', see CHOICES."""
  if '=' not in variant.partition(',')[0]:
    variant = f'version={variant or "v1"}'
  args = arguments.parse(variant, CHOICES)
  config = mini(args) if args.version == 'mini' else published(args)
  set_loss(config.model, args)
  set_sampler(config.data, args)
  config.data.copy_paste.name = args.copy_paste.removeprefix('none')
  set_calibration(config, args)
  return config.lock()


def published(args: SimpleNamespace) -> ConfigDict:
  """The model and schedule of an upstream program."""
  of_rcnn = vars(args) | {
    'upstream': args.upstream or 'detectron2',
    'weights': '' if args.upstream else 'torchvision',
    'dataset': f'lvis_{args.version}',
    'sampler': '',
    'schedule': args.schedule if args.schedule in ('1x', '2x') else '1x',
    'recipe': 'multiscale',
  }
  chosen = {name: value for name, value in of_rcnn.items() if name in rcnn.CHOICES}
  config = rcnn.make_config(SimpleNamespace(**{name: values[0] for name, values in rcnn.CHOICES.items()} | chosen))
  if args.upstream != 'mmdet' and args.version == 'v1' and args.schedule == '2x':
    config.train.steps *= 2
    config.train.schedule.milestones = tuple(2 * step for step in config.train.schedule.milestones)
  if args.upstream == 'cvpods' and args.version == 'v0.5' and args.calibration == 'none':
    config.model.test.score_threshold = 0.0
  if args.schedule in STEPS:
    config.train.steps, config.train.schedule.milestones = STEPS[args.schedule]
  if args.recipe == 'lsj':
    rcnn.set_large_scale_jitter(config)
    config.train.steps //= 4  # as many images, 64 a step
    config.train.schedule.milestones = tuple(step // 4 for step in config.train.schedule.milestones)
  return config


def mini(args: SimpleNamespace) -> ConfigDict:
  """The small model, which has one backbone and one schedule."""
  if strangers := [name for name in vars(args) if name not in OF_MINI and vars(args)[name] != CHOICES[name][0]]:
    raise ValueError(f'the mini config has no {", ".join(strangers)}: its arguments are {", ".join(OF_MINI)}')
  config = base_config()
  make_mini(config)
  config.model.roi.box_head.classifier = args.classifier
  return config


def set_loss(model: ConfigDict, args: SimpleNamespace) -> None:
  """The class loss; with the seesaw loss mmdetection's cosine classifier, and for masks too if asked for."""
  if args.loss == 'cross_entropy':
    return
  model.roi.class_loss = LOSSES[args.loss]
  if args.loss.startswith('seesaw') and args.classifier == 'linear':
    model.roi.box_head.classifier = 'normed'
  if args.loss == 'seesaw_normed_mask':
    model.roi.mask_head.predictor = 'normed'


def set_sampler(data: ConfigDict, args: SimpleNamespace) -> None:
  """Which training images are seen how often."""
  sampler = args.sampler
  if not sampler:
    if args.calibration in ('crt', 'lws'):
      sampler = 'class_balanced'
    else:
      sampler = 'none' if args.upstream == 'cvpods' else 'rfs'
  data.sampler.name = SAMPLERS.get(sampler, sampler)


def set_calibration(config: ConfigDict, args: SimpleNamespace) -> None:
  """What is trained alone in a second stage, with which loss and how long."""
  box_head = config.model.roi.box_head
  if args.calibration == 'none':
    return
  if args.calibration == 'tau_norm':
    box_head.tau = 1.0
    return
  if args.calibration == 'crt':
    box_head.retrain_classifier = True
    config.train.init_except = ('params/box_head*/logits/*',)
  else:
    box_head.calibration = args.calibration
  if args.calibration == 'disalign':
    config.model.roi.class_loss = {'name': 'reweighted', 'scale': 0.8}
  if args.version == 'mini':
    config.train.steps, config.train.schedule.milestones = 100, (80,)
  elif not args.schedule:
    config.train.steps, config.train.schedule.milestones = STEPS['9k' if args.version == 'v1' else '4.5k']
