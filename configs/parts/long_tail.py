"""Methods for long-tailed categories: class losses, samplers, classifiers, and second stages on a trained model."""

CLASS_LOSSES = {  # config.model.roi.class_loss
  'cross_entropy': {'name': 'cross_entropy'},
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

SAMPLERS = {  # config.data.sampler.name
  'none': 'uniform',
  'rfs': 'repeat_factor',
  'irfs': 'instance_repeat_factor',
  'class_balanced': 'class_balanced',
}

STEPS = {  # (steps, milestones of the learning rate)
  '90k': (90_000, (60_000, 80_000)),
  '180k': (180_000, (120_000, 160_000)),
  '9k': (9_000, (8_000,)),
  '4.5k': (4_500, (4_000,)),
}


ALL_BUT = r'^(?!box_head\d*/{}/)'  # pattern of all parameters except a part of the box heads


def heads(loss: str, classifier: str = 'linear') -> dict:
  """Classifiers for a class loss: mmdetection's cosine classifiers for the seesaw loss, optionally for masks too."""
  normed = loss.startswith('seesaw') and classifier == 'linear'
  return {
    'box_head': {'classifier': 'normed' if normed else classifier},
    'mask_head': {'predictor': 'normed' if loss == 'seesaw_normed_mask' else 'conv'},
  }


def second_stage(name: str) -> dict:
  """Changes for a second stage, for `ConfigDict.update`; all parameters but the second stage's are frozen.

  DisAlign (Zhang et al., 2021); a newly initialised classifier (cRT), or a scale for each class (LWS; both Kang et al.,
  2020). Their tau-normalisation only changes evaluation.
  """
  return {
    'none': {},
    'tau_norm': {'model': {'roi': {'box_head': {'tau': 1.0}}}},
    'crt': {
      'model': {'frozen': (ALL_BUT.format('logits'),)},
      'train': {'init_except': ('params/box_head*/logits/*',)},
    },
    'lws': calibration('lws'),
    'disalign': calibration('disalign'),
  }[name]


def calibration(name: str) -> dict:
  """Adds a calibration of the logits, and freezes everything else."""
  return {'model': {'frozen': (ALL_BUT.format('calibration'),), 'roi': {'box_head': {'calibration': name}}}}


def reweighted() -> dict:
  """DisAlign's class loss of the second stage."""
  return {'name': 'reweighted', 'scale': 0.8}
