"""Gradient transformation: clipping, weight decay by rules, momentum or Adam, learning rate by rules."""

import math
import re
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxdet.training import freezing
from jaxdet.training.freezing import Params, path_name
from jaxdet.training.schedules import build_schedule

DecayRules = Sequence[tuple[str, float]]  # (pattern of paths, factor of `weight_decay`)


def build_optimizer(config: ConfigDict, params: Params) -> optax.GradientTransformation:
  """Builds the optimizer of `config.train` for the trained part of `params` (see `freezing.split`).

  SGD is torch's: `v = momentum * v + (g + weight_decay * p)`, `p -= lr * v`, so that a change of the learning rate acts
  at once and does not rescale the velocity. AdamW (Loshchilov & Hutter, 2019) has beta 0.9 and 0.999; its weight decay,
  `p -= lr * weight_decay * p`, does not pass through Adam. `clip_norm` bounds the global norm of the trained part's
  gradient, before weight decay. A parameter's factor of `weight_decay` is that of the first pattern of `decay_factors`
  found in its path. `lr_factors` multiply a parameter's whole update.

  Raises:
    ValueError: on an unknown optimizer, a parameter that no pattern of `decay_factors` finds, or a pattern of
      `lr_factors` that finds no parameter.
  """
  settings = config.train.optimizer
  if settings.name not in ('sgd', 'adamw'):
    raise ValueError(f"unknown train.optimizer.name '{settings.name}': choose sgd or adamw")
  trainable = freezing.trainable(params, config.model.frozen)
  trained, _ = freezing.split(params, trainable)
  rules = jax.tree_util.tree_map_with_path(lambda path, _: decay_rule(path_name(path), settings.decay_factors), trained)
  decay = [
    optax.add_decayed_weights(settings.weight_decay * factor, mask=jax.tree.map(lambda r, rule=rule: r == rule, rules))
    for rule, (_, factor) in enumerate(settings.decay_factors)
  ]
  factors, _ = freezing.split(lr_factors(params, settings.lr_factors), trainable)
  return optax.chain(
    optax.clip_by_global_norm(settings.clip_norm) if settings.clip_norm else optax.identity(),
    *([*decay, optax.trace(decay=settings.momentum)] if settings.name == 'sgd' else [optax.scale_by_adam(), *decay]),
    optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, factors)),
    optax.scale_by_learning_rate(build_schedule(config.train)),
  )


def lr_factors(params: Params, factors: Mapping[str, float]) -> Params:
  """Tree like `params` of factors of the learning rate: products over the patterns found in a path.

  Raises:
    ValueError: a pattern is found in no parameter's path.
  """
  paths = jax.tree_util.tree_map_with_path(lambda path, _: path_name(path), params)
  for pattern in factors:
    if not any(re.search(pattern, path) for path in jax.tree.leaves(paths)):
      raise ValueError(f"no parameter's path has '{pattern}' in it, a pattern of train.optimizer.lr_factors")
  return jax.tree.map(lambda path: math.prod(f for pattern, f in factors.items() if re.search(pattern, path)), paths)


def decay_rule(path: str, rules: DecayRules) -> int:
  """Index of the first rule for the parameter at `path`, such as 'backbone/conv1/kernel'.

  Raises:
    ValueError: there is no such rule.
  """
  for number, (pattern, _) in enumerate(rules):
    if re.search(pattern, path):
      return number
  raise ValueError(f"parameter '{path}' has no weight-decay rule: add a pattern to train.optimizer.decay_factors")
