"""The gradient transformation: clipping, weight decay by rules, momentum or Adam, learning rate by rules."""

import math
import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxdet.training import freezing
from jaxdet.training.freezing import Params, path_name
from jaxdet.training.schedules import build_schedule

# The first pattern found in a parameter's path decides its group.
DECAY_GROUPS = (
  ('norm', re.compile(r'(^|/)(\w*norm|bn|gn|ln)_?\d*/(scale|bias)$', re.IGNORECASE)),
  ('bias', re.compile(r'(^|/)bias$')),
  ('weight', re.compile(r'(^|/)(kernel|embedding)$|(^|/)(logits|calibration)/scale$|(^|/)head/scale\d+$')),
)


def build_optimizer(config: ConfigDict, params: Params) -> optax.GradientTransformation:
  """The optimizer of `config.train` for the trained part of `params` (see `freezing.split`).

  SGD is torch's: `v = momentum * v + (g + weight_decay * p)`, `p -= lr * v`, so that a change of the learning
  rate acts at once and does not rescale the velocity. AdamW (Loshchilov & Hutter, 2019) has beta 0.9 and 0.999; its
  weight decay, `p -= lr * weight_decay * p`, does not pass through Adam. `clip_norm` bounds the global norm of the
  trained part's gradient, before weight decay. `lr_factors` multiply all of a parameter's update.

  Raises:
    ValueError: on an unknown optimizer, a parameter that no weight-decay rule knows, or a pattern of `lr_factors` that
      finds no parameter.
  """
  settings = config.train.optimizer
  if settings.name not in ('sgd', 'adamw'):
    raise ValueError(f"unknown train.optimizer.name '{settings.name}': choose sgd or adamw")
  trainable = freezing.trainable(params, config.model.frozen)
  trained, _ = freezing.split(params, trainable)
  groups = decay_groups(trained)
  decays = {
    'weight': settings.weight_decay,
    'norm': settings.weight_decay_norm,
    'bias': settings.weight_decay * settings.bias_decay,
  }

  decay = [
    optax.add_decayed_weights(decay, mask=jax.tree.map(lambda g, group=group: g == group, groups))
    for group, decay in decays.items()
  ]
  factors, _ = freezing.split(lr_factors(params, settings.lr_factors), trainable)
  return optax.chain(
    optax.clip_by_global_norm(settings.clip_norm) if settings.clip_norm else optax.identity(),
    *([*decay, optax.trace(decay=settings.momentum)] if settings.name == 'sgd' else [optax.scale_by_adam(), *decay]),
    optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, factors)),
    optax.scale_by_learning_rate(build_schedule(config.train)),
  )


def lr_factors(params: Params, factors: Mapping[str, float]) -> Params:
  """A tree like `params` of what multiplies the learning rate: the product of the factors whose pattern is found.

  Raises:
    ValueError: where a pattern finds no parameter's path.
  """
  paths = jax.tree_util.tree_map_with_path(lambda path, _: path_name(path), params)
  for pattern in factors:
    if not any(re.search(pattern, path) for path in jax.tree.leaves(paths)):
      raise ValueError(f"no parameter's path has '{pattern}' in it, a pattern of train.optimizer.lr_factors")
  return jax.tree.map(lambda path: math.prod(f for pattern, f in factors.items() if re.search(pattern, path)), paths)


def decay_groups(params: Params) -> Params:
  """A tree like `params` of weight-decay groups, 'norm', 'bias' or 'weight'."""
  return jax.tree_util.tree_map_with_path(lambda path, _: decay_group(path_name(path)), params)


def decay_group(path: str) -> str:
  """The weight-decay group of the parameter at `path`, as 'backbone/conv1/kernel'."""
  for group, pattern in DECAY_GROUPS:
    if pattern.search(path):
      return group
  raise ValueError(f"parameter '{path}' falls under no weight-decay rule: add one to DECAY_GROUPS in {__name__}")
