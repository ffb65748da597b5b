"""Remedies for a long tail of categories: class losses, samplers, classifiers, and second stages on a trained model."""

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

STEPS = {  # and after which of them the learning rate falls
  '90k': (90_000, (60_000, 80_000)),
  '180k': (180_000, (120_000, 160_000)),
  '9k': (9_000, (8_000,)),
  '4.5k': (4_500, (4_000,)),
}


ALL_BUT = r'^(?!box_head\d*/{}/)'  # the pattern of all parameters but those of a part of the box heads


def heads(loss: str, classifier: str = 'linear') -> dict:
  """Classifiers that go with a class loss: mmdetection's cosine ones with the seesaw loss, of masks if asked."""
  normed = loss.startswith('seesaw') and classifier == 'linear'
  return {
    'box_head': {'classifier': 'normed' if normed else classifier},
    'mask_head': {'predictor': 'normed' if loss == 'seesaw_normed_mask' else 'conv'},
  }


def second_stage(name: str) -> dict:
  """Changes for a second stage, as `ConfigDict.update` takes them; what they name is trained alone.

  DisAlign (Zhang et al., 2021); the classifier from new weights (cRT), or a scale of each class (LWS; both Kang et al.,
  2020). Their tau-normalisation changes evaluation alone.
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
  """A calibration of the logits, and nothing but it trained."""
  return {'model': {'frozen': (ALL_BUT.format('calibration'),), 'roi': {'box_head': {'calibration': name}}}}


def reweighted() -> dict:
  """DisAlign's loss of its second stage, in the place of the first one's."""
  return {'name': 'reweighted', 'scale': 0.8}
