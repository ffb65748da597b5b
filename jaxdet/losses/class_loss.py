"""Class losses of box heads by their names in a config: the loss of the logits, and the scores.

`settings` is `config.model.roi.class_loss`: a `name` of CLASS_LOSSES and the numbers of that method. `counts` is
`config.model.class_counts`: counts of the classes in the training annotations. For sigmoids `prior` is the initial
probability of a class: 0.5 by default; choose far less for many classes. `weight` is the factor of cross entropy: 1 by
default.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int

from jaxdet.losses import (
  acsl,
  balanced_group_softmax,
  droploss,
  equalization,
  equalization_v2,
  federated,
  logit_adjustment,
  regions,
  reweighted,
  seesaw,
)

State = dict[str, Array]
Settings = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class ClassLoss:
  """A class loss with its settings bound; see losses/regions.py for logits, labels and valid."""

  columns: int  # of the logits
  loss: Callable[[Array, Array, Array, Array, State], tuple[Array, State]]  # (logits, labels, valid, key, state)
  scores: Callable[[Array], Array]  # logits [.., columns] to scores [.., K]
  state: State = dataclasses.field(default_factory=dict)  # initial state; {}: none
  bias: float = 0.0  # initial bias of the classes' logits


def make_class_loss(settings: Settings, num_classes: int, counts: Settings) -> ClassLoss:
  """Makes the class loss that a config names.

  Raises:
    ValueError: on an unknown name, or where the counts that it needs are not known.
  """
  if settings['name'] not in CLASS_LOSSES:
    raise ValueError(f"unknown class loss '{settings['name']}': choose one of {', '.join(CLASS_LOSSES)}")
  return CLASS_LOSSES[settings['name']](settings, num_classes, counts)


def cross_entropy(settings: Settings, num_classes: int, counts: Settings) -> ClassLoss:
  """Softmax over the classes and background."""

  def loss(logits, labels, valid, key):
    logits, labels = regions.mask_padding(logits, labels, valid, background=num_classes)
    each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return settings.get('weight', 1.0) * regions.mean_over(each, valid)

  return _softmax(num_classes, loss)


def reweighted_softmax(settings: Settings, num_classes: int, counts: Settings) -> ClassLoss:
  """DisAlign's re-weighted cross entropy; settings: `scale`."""

  def loss(logits, labels, valid, key):
    weights = reweighted.class_weights(_known(counts, 'instances', settings), settings['scale'])
    return reweighted.reweighted_loss(logits, labels, valid, weights)

  return _softmax(num_classes, loss)


def logit_adjusted_softmax(settings: Settings, num_classes: int, counts: Settings) -> ClassLoss:
  """Logit adjustment, with `tau` 1 balanced softmax; settings: `tau`, and `background`'s share of the RoIs."""

  def loss(logits, labels, valid, key):
    prior = logit_adjustment.log_prior(_known(counts, 'instances', settings), settings['background'])
    return logit_adjustment.logit_adjusted_loss(logits, labels, valid, prior, settings['tau'])

  return _softmax(num_classes, loss)


def federated_sigmoid(settings: Settings, num_classes: int, counts: Settings) -> ClassLoss:
  """Detectron2's and Detic's federated loss; settings: `slots` and `power`."""

  def loss(logits, labels, valid, key):
    images = _known(counts, 'images', settings)
    classes = federated.sample_classes(labels, valid, images, key, settings['slots'], settings['power'])
    return federated.federated_loss(logits, labels, valid, classes)

  return _sigmoid(num_classes, loss, settings)


def equalization_sigmoid(settings: Settings, num_classes: int, counts: Settings) -> ClassLoss:
  """Equalization loss; settings: `below`, the share of images that makes a class one of the tail."""

  def loss(logits, labels, valid, key):
    tail = equalization.tail_classes(_known(counts, 'images', settings), counts['num_images'], settings['below'])
    return equalization.equalization_loss(logits, labels, valid, tail)

  return _sigmoid(num_classes, loss, settings)


def drop_sigmoid(settings: Settings, num_classes: int, counts: Settings) -> ClassLoss:
  """DropLoss; settings: `below`, as for `equalization`."""

  def loss(logits, labels, valid, key):
    tail = equalization.tail_classes(_known(counts, 'images', settings), counts['num_images'], settings['below'])
    return droploss.drop_loss(logits, labels, valid, tail, key)

  return _sigmoid(num_classes, loss, settings)


def suppressed_sigmoid(settings: Settings, num_classes: int, counts: Settings) -> ClassLoss:
  """Adaptive class suppression; settings: `threshold`."""

  def loss(logits, labels, valid, key):
    images = _known(counts, 'images', settings)
    return acsl.adaptive_class_suppression_loss(logits, labels, valid, images, key, settings['threshold'])

  return _sigmoid(num_classes, loss, settings)


def equalization_v2_sigmoid(settings: Settings, num_classes: int, counts: Settings) -> ClassLoss:
  """Equalization loss v2; settings: `mu`, `alpha`, `gamma`."""

  def loss(logits, labels, valid, key, state):
    numbers = {name: settings[name] for name in ('mu', 'alpha', 'gamma')}
    return equalization_v2.equalization_loss_v2(logits, labels, valid, state, **numbers)

  state = equalization_v2.initial_state(num_classes)
  return ClassLoss(num_classes + 1, loss, equalization_v2.class_scores, state, _bias(settings))


def seesaw_softmax(settings: Settings, num_classes: int, counts: Settings) -> ClassLoss:
  """Seesaw loss; settings: `p` and `q`."""

  def loss(logits, labels, valid, key, state):
    return seesaw.seesaw_loss(logits, labels, valid, state, settings['p'], settings['q'])

  return ClassLoss(num_classes + 2, loss, seesaw.class_scores, seesaw.initial_state(num_classes))


def group_softmax(settings: Settings, num_classes: int, counts: Settings) -> ClassLoss:
  """Balanced group softmax; settings: `bounds` of the groups, `others` for each RoI of a group's classes."""
  instances = np.asarray(_known(counts, 'instances', settings))
  groups = balanced_group_softmax.class_groups(instances, settings['bounds'])

  def loss(logits, labels, valid, key):
    others = settings['others']
    return balanced_group_softmax.balanced_group_softmax_loss(logits, labels, valid, groups, key, others)

  def scores(logits):
    return balanced_group_softmax.class_scores(logits, groups)

  return ClassLoss(num_classes + 2 + len(groups), _without_state(loss), scores)


CLASS_LOSSES = {
  'cross_entropy': cross_entropy,
  'reweighted': reweighted_softmax,
  'logit_adjusted': logit_adjusted_softmax,
  'federated': federated_sigmoid,
  'equalization': equalization_sigmoid,
  'droploss': drop_sigmoid,
  'acsl': suppressed_sigmoid,
  'equalization_v2': equalization_v2_sigmoid,
  'seesaw': seesaw_softmax,
  'balanced_group_softmax': group_softmax,
}


def _softmax(num_classes: int, loss: Callable) -> ClassLoss:
  def scores(logits):
    return jax.nn.softmax(logits)[..., :num_classes]

  return ClassLoss(num_classes + 1, _without_state(loss), scores)


def _sigmoid(num_classes: int, loss: Callable, settings: Settings) -> ClassLoss:
  """Class loss of sigmoids; as upstream, the logits have a background column, which is unused."""

  def scores(logits):
    return jax.nn.sigmoid(logits[..., :num_classes])

  return ClassLoss(num_classes + 1, _without_state(loss), scores, bias=_bias(settings))


def _bias(settings: Settings) -> float:
  """Logit of the prior probability (Lin et al., 2017)."""
  prior = settings.get('prior', 0.5)
  return math.log(prior / (1 - prior))


def _without_state(loss: Callable) -> Callable:
  return lambda logits, labels, valid, key, state: (loss(logits, labels, valid, key), state)


def _known(counts: Settings, what: str, settings: Settings) -> Int[Array, 'K']:
  """Training images or instances of each class."""
  if not any(counts[what]):
    raise ValueError(
      f"the class loss '{settings['name']}' needs config.model.class_counts.{what}: how many training {what} each "
      'class has, which training takes from the annotations'
    )
  return jnp.asarray(counts[what])
