"""Compares losses, gradients and a few training steps of a detector with the recorded ones."""

import functools
from collections.abc import Callable

import jax
import numpy as np
import optax
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from jaxdet.convert.rules import export_state
from jaxdet.models import forward
from jaxdet.parity.case import Case
from jaxdet.parity.compare import DELTA, GRADIENT, LOSS, TRAINING, Comparison
from jaxdet.parity.model_under_test import ModelUnderTest
from jaxdet.parity.names import loss_name, merged_losses
from jaxdet.training import freezing
from jaxdet.training.optimizer import build_optimizer, decay_rule

Params = dict
Gradient = Callable[[Params, Params], tuple[Params, tuple[dict, Params]]]


def compare_learning(tested: ModelUnderTest, comparison: Comparison) -> None:
  """Adds the checks of 'losses' and 'gradients'."""
  params = tested.variables['params']
  trained, _ = freezing.split(params, freezing.trainable(params, tested.config.model.frozen))
  grads, (losses, _) = gradient_function(tested)(trained, tested.variables['batch_stats'])
  _compare_losses(comparison, 'losses', '', losses, tested.case.meta['losses'], LOSS)
  _compare_gradients(tested, comparison, grads)


def compare_training(tested: ModelUnderTest, comparison: Comparison) -> None:
  """Adds the checks of 'training': losses before each step, and the change of the parameters."""
  case = tested.case
  recorded = case.meta['train']
  history, trained = train(tested, gradient_function(tested), len(recorded))
  for step, (ours, theirs) in enumerate(zip(history, recorded, strict=True)):
    _compare_losses(comparison, 'training', f'step {step}: ', ours, theirs, TRAINING)
  after = by_upstream_name(tested, trained)
  for name in case.meta['train_after']:
    if name not in after:
      comparison.missing('training', name)
      continue
    before = case.samples(name, tested.state[name])
    moved = case.samples(name, after[name]).astype(np.float64) - before
    delta = case.arrays.get(f't/delta/{name}', case.arrays[f't/after/{name}'].astype(np.float64) - before)
    # Every step rounds the parameter again: for small steps rounding is most of the difference.
    beyond = np.maximum(np.abs(moved - delta) - len(recorded) * np.spacing(np.abs(before)), 0.0)
    comparison.add('training', f'change of {name}', _rms(beyond) / _rms(delta), DELTA)


def gradient_function(tested: ModelUnderTest) -> Gradient:
  """Makes a function from (trained parameters, `batch_stats`) to (gradient, (losses with 'total', new statistics))."""
  params = tested.variables['params']
  _, frozen = freezing.split(params, freezing.trainable(params, tested.config.model.frozen))
  constants = tested.variables['constants']
  return lambda trained, stats: _gradient(trained, tested.detector, frozen, constants, stats, tested.batch)


@functools.partial(jax.jit, static_argnums=1)
@functools.partial(jax.grad, has_aux=True)
def _gradient(trained, detector, frozen, constants, batch_stats, batch):
  variables = {'params': freezing.merge(trained, frozen), 'constants': constants, 'batch_stats': batch_stats}
  losses, moved = forward.loss(detector, variables, batch, jax.random.key(0))
  losses['total'] = sum(value for name, value in losses.items() if name.startswith('loss_'))
  return losses['total'], (losses, {**batch_stats, **moved.get('batch_stats', {})})


def training_config(config: ConfigDict, case: Case) -> ConfigDict:
  """Returns `config` with the optimizer of the recorded steps: SGD at a constant rate, no warm-up.

  Raises:
    ValueError: learning rates or weight decay of parts of the network differ from those of `config.train`.
  """
  if case.program == 'mmdet':
    recorded = case.meta['train_optimizer']
    _check_rates(config, recorded.get('paramwise_cfg', {}))
    settings = recorded['optimizer']
    clip_norm = recorded.get('clip_grad', {}).get('max_norm', 0.0)
  else:
    settings = case.meta['train_settings']
    clip_norm = 0.0
    _check_decay(config, norms=settings['weight_decay_norm'] / settings['weight_decay'], biases=1.0)
  config = config.copy_and_resolve_references()
  train = config.train
  train.batch_size = train.schedule.base_batch_size = case.meta['batch_shape'][0]
  never = len(case.meta['train'])
  train.schedule.update({'name': 'multistep', 'base_lr': settings['lr'], 'milestones': (never,), 'warmup_steps': 0})
  train.optimizer.update(
    {
      'name': 'sgd',
      'momentum': settings['momentum'],
      'weight_decay': settings['weight_decay'],
      'clip_norm': float(clip_norm),
    }
  )
  return config


def _check_rates(config: ConfigDict, options: dict) -> None:
  """Raises ValueError unless learning rates and weight decay of parts agree with mmdetection's option."""
  optimizer = config.train.optimizer
  recorded = {name: rates['lr_mult'] for name, rates in options.get('custom_keys', {}).items() if 'lr_mult' in rates}
  recorded |= {'bias': options['bias_lr_mult']} if 'bias_lr_mult' in options else {}
  ours = {
    'bias' if pattern.endswith('/bias$') else pattern.strip('^/'): factor
    for pattern, factor in optimizer.lr_factors.items()
  }
  _check_decay(config, norms=options.get('norm_decay_mult', 1.0), biases=options.get('bias_decay_mult', 1.0))
  unknown = set(options) - {'custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult'}
  if recorded != ours or unknown:
    raise ValueError(f'override not understood: paramwise_cfg {options}')


def _check_decay(config: ConfigDict, norms: float, biases: float) -> None:
  """Raises ValueError unless norms and biases have these factors of the weight decay."""
  rules = config.train.optimizer.decay_factors
  ours = [rules[decay_rule(path, rules)][1] for path in ('neck/norm/scale', 'neck/conv/bias')]
  if ours != [norms, biases]:
    raise ValueError(f'norms and biases decay by {ours} of the weight decay here, there by {[norms, biases]}')


def train(tested: ModelUnderTest, gradient: Gradient, steps: int) -> tuple[list[dict[str, float]], Params]:
  """Trains on the same batch; returns the losses before each step, and the trained parameters after the last."""
  params = tested.variables['params']
  config = training_config(tested.config, tested.case)
  optimizer = build_optimizer(config, params)
  trained, _ = freezing.split(params, freezing.trainable(params, tested.config.model.frozen))

  @jax.jit
  def update(trained, state, grads):
    updates, state = optimizer.update(grads, state, trained)
    return optax.apply_updates(trained, updates), state

  state = optimizer.init(trained)
  batch_stats = tested.variables['batch_stats']
  history = []
  for _ in range(steps):
    grads, (losses, batch_stats) = gradient(trained, batch_stats)
    history.append(losses)
    trained, state = update(trained, state, grads)
  return history, trained


def by_upstream_name(tested: ModelUnderTest, params: Params) -> dict[str, np.ndarray]:
  """Trained parameters, or their gradients, by upstream's names and in its layout."""
  paths = {f'params/{path}' for path, value in flatten_dict(params, sep='/').items() if value is not None}
  rules = [rule for rule in tested.rules if rule.path in paths and not rule.copy]
  return export_state({'params': jax.device_get(params)}, rules)


def _compare_losses(comparison: Comparison, stage: str, prefix: str, ours, recorded, tolerance: float) -> None:
  for theirs, value in merged_losses(recorded).items():
    name = loss_name(comparison.case, theirs, ours)
    if name in ours:
      comparison.number(stage, prefix + theirs, ours[name], value, tolerance)
    elif name is not None:
      comparison.missing(stage, prefix + theirs)


def _compare_gradients(tested: ModelUnderTest, comparison: Comparison, grads: Params) -> None:
  ours = by_upstream_name(tested, grads)
  recorded = tested.case.meta['grad_norms']
  for name, norm in recorded.items():
    if name in ours:
      comparison.number('gradients', name, np.linalg.norm(ours[name].astype(np.float64)), norm, GRADIENT)
    else:
      comparison.missing('gradients', name)
  for name in ours.keys() - recorded.keys():
    # Frozen upstream: a parameter that is trained here must have gradient 0.
    comparison.add('gradients', f'{name} (frozen)', float(np.abs(ours[name]).max()), 0.0)


def _rms(x: np.ndarray) -> float:
  return float(np.sqrt(np.square(x, dtype=np.float64).mean()))
