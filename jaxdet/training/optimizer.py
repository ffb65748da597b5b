"""The gradient transformation: clipping, weight decay by rules, momentum, learning rate."""

import re

import jax
import optax
from ml_collections import ConfigDict

from jaxdet.training import freezing
from jaxdet.training.freezing import Params
from jaxdet.training.schedules import build_schedule

# The first pattern found in a parameter's path decides its group. Biases decay like weights, as upstream.
DECAY_GROUPS = (
  ('norm', re.compile(r'(^|/)(\w*norm|bn|gn|ln)_?\d*/(scale|bias)$', re.IGNORECASE)),
  ('weight', re.compile(r'(^|/)(kernel|bias|embedding)$|(^|/)(logits|calibration)/scale$')),
)


def build_optimizer(config: ConfigDict, detector, params: Params) -> optax.GradientTransformation:
  """The optimizer of `config.train` for the trained part of `params` (see `freezing.split`).

  SGD is torch's: `v = momentum * v + (g + weight_decay * p)`, `p -= lr * v`, so that a change of the learning
  rate acts at once and does not rescale the velocity. `clip_norm` bounds the global norm of the trained
  part's gradient, before weight decay.

  Raises:
    ValueError: on an unknown optimizer, or a parameter that no weight-decay rule knows.
  """
  settings = config.train.optimizer
  if settings.name != 'sgd':
    raise ValueError(f"unknown train.optimizer.name '{settings.name}': choose sgd")
  trained, _ = freezing.split(params, detector.trainable(params))
  groups = decay_groups(trained)
  decays = {'weight': settings.weight_decay, 'norm': settings.weight_decay_norm}

  return optax.chain(
    optax.clip_by_global_norm(settings.clip_norm) if settings.clip_norm else optax.identity(),
    *(
      optax.add_decayed_weights(decay, mask=jax.tree.map(lambda g, group=group: g == group, groups))
      for group, decay in decays.items()
    ),
    optax.trace(decay=settings.momentum),
    optax.scale_by_learning_rate(build_schedule(config.train)),
  )


def decay_groups(params: Params) -> Params:
  """A tree like `params` of weight-decay groups, 'norm' or 'weight'."""
  return jax.tree_util.tree_map_with_path(lambda path, _: decay_group(path_name(path)), params)


def decay_group(path: str) -> str:
  """The weight-decay group of the parameter at `path`, as 'backbone/conv1/kernel'."""
  for group, pattern in DECAY_GROUPS:
    if pattern.search(path):
      return group
  raise ValueError(f"parameter '{path}' falls under no weight-decay rule: add one to DECAY_GROUPS in {__name__}")


def path_name(path: tuple) -> str:
  """A tree path as text, 'backbone/conv1/kernel'."""
  return jax.tree_util.keystr(path, simple=True, separator='/')
