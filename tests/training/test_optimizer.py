"""SGD and AdamW as torch's, weight decay and learning rates by rules, clipping, and nothing for frozen parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.parts.schedules import BIASES, NORMS, WEIGHTS, sgd
from jaxdet.training import freezing
from jaxdet.training.optimizer import build_optimizer, decay_rule, lr_factors
from jaxdet.training.state import create_state
from toy_detector import ToyDetector, toy_config


def steps(params, grads, **overrides):
  """The parameters after one update for each of `grads`."""
  optimizer = build_optimizer(toy_config(**{'model.frozen': (), **overrides}), params)
  state = optimizer.init(params)
  for grad in grads:
    updates, state = optimizer.update(grad, state, params)
    params = optax.apply_updates(params, updates)
  return params


def layer(kernel, scale):
  return {'conv': {'kernel': jnp.float32(kernel)}, 'norm1': {'scale': jnp.float32(scale)}}


def test_sgd_is_torchs_by_hand():
  """The learning rate changes between the steps and acts on the whole velocity at once."""
  momentum, decay, lrs = 0.9, 0.01, (0.5, 0.05)
  p, v = 2.0, 0.0
  for lr in lrs:
    v = momentum * v + (3.0 + decay * p)
    p -= lr * v
  grad = layer([3.0], [3.0])
  schedule = {'base_lr': 0.5, 'warmup_steps': 0, 'milestones': (1,)}
  after = steps(layer([2.0], [2.0]), [grad, grad], **{f'train.schedule.{k}': v for k, v in schedule.items()})
  np.testing.assert_allclose(after['conv']['kernel'], p, rtol=1e-6)


def test_adamw_is_torchs_by_hand():
  """Weight decay is beside the moments, not in them; the learning rate changes between the steps."""
  decay, lrs, grads = 0.01, (0.5, 0.05), (3.0, -1.0)
  p, m, v = 2.0, 0.0, 0.0
  for t, (lr, g) in enumerate(zip(lrs, grads, strict=True), start=1):
    p -= lr * decay * p
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    p -= lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
  schedule = {'base_lr': 0.5, 'warmup_steps': 0, 'milestones': (1,)}
  overrides = {'train.optimizer.name': 'adamw'} | {f'train.schedule.{k}': v for k, v in schedule.items()}
  after = steps(layer([2.0], [2.0]), [layer([g], [g]) for g in grads], **overrides)
  np.testing.assert_allclose(after['conv']['kernel'], p, rtol=1e-5)


@pytest.mark.parametrize('name', ['sgd', 'adamw'])
def test_learning_rates_by_path(name):
  settings = {'train.optimizer.name': name, 'train.schedule.warmup_steps': 0}
  grads = [layer([3.0], [3.0])] * 2
  plain = steps(layer([2.0], [2.0]), grads, **settings)
  slow = steps(layer([2.0], [2.0]), grads, **settings, **{'train.optimizer.lr_factors': {'^conv/': 0.0, 'norm': 1.0}})
  assert slow['conv']['kernel'] == 2.0 != plain['conv']['kernel']
  assert slow['norm1']['scale'] == plain['norm1']['scale']


def test_factors_of_the_learning_rate_are_multiplied():
  params = {'backbone': layer(1.0, 1.0), 'head': layer(1.0, 1.0)}
  factors = lr_factors(params, {'^backbone/': 0.1, '/conv/': 0.5})
  assert factors['backbone'] == {'conv': {'kernel': 0.05}, 'norm1': {'scale': 0.1}}
  assert factors['head'] == {'conv': {'kernel': 0.5}, 'norm1': {'scale': 1}}


def test_a_pattern_that_finds_no_parameter_is_an_error():
  with pytest.raises(ValueError, match="no parameter's path has '/sampling/' in it"):
    lr_factors(layer(1.0, 1.0), {'/sampling/': 0.1})


@pytest.mark.parametrize(('factor', 'scale'), [(0.0, 2.0), (0.5, 2.0 - 0.1 * 0.01)])
def test_weight_decay_by_path(factor, scale):
  overrides = {'train.optimizer.decay_factors': (('norm', factor), ('', 1.0)), 'train.schedule.warmup_steps': 0}
  after = steps(layer([2.0], [2.0]), [layer([0.0], [0.0])], **overrides)
  np.testing.assert_allclose(after['norm1']['scale'], scale, rtol=1e-6)
  np.testing.assert_allclose(after['conv']['kernel'], 2.0 - 0.1 * 0.02, rtol=1e-6)


def test_clipping_is_by_the_global_norm_and_before_weight_decay():
  overrides = {'train.optimizer.clip_norm': 1.0, 'train.schedule.warmup_steps': 0}
  after = steps(layer([0.0], [0.0]), [layer([30.0], [40.0])], **overrides)
  np.testing.assert_allclose(after['conv']['kernel'], -0.1 * 0.6, rtol=1e-6)
  np.testing.assert_allclose(after['norm1']['scale'], -0.1 * 0.8, rtol=1e-6)


@pytest.mark.parametrize(
  ('path', 'pattern'),
  [
    ('backbone/stage2/block0/norm1/scale', NORMS),
    ('backbone/stage3/block0/shortcut_norm/bias', NORMS),
    ('neck/lateral_norm3/scale', NORMS),
    ('box_head/GroupNorm_0/bias', NORMS),
    ('backbone/bn1/scale', NORMS),
    ('backbone/conv1/kernel', WEIGHTS),
    ('rpn_head/conv/bias', BIASES),
    ('normal_conv/bias', BIASES),
    ('head/scale3', WEIGHTS),
    ('query/embedding', WEIGHTS),
    ('box_head/logits/scale', WEIGHTS),
  ],
)
def test_kinds_of_parameters_that_configs_tell_apart(path, pattern):
  rules = sgd()['decay_factors']
  assert rules[decay_rule(path, rules)][0] == pattern


def test_a_parameter_without_a_rule_is_an_error():
  overrides = {'model.frozen': (), 'train.optimizer.decay_factors': sgd()['decay_factors']}
  with pytest.raises(ValueError, match="'head/temperature' has no weight-decay rule"):
    build_optimizer(toy_config(**overrides), {'head': {'temperature': jnp.ones(())}})


def test_unknown_optimizer():
  with pytest.raises(ValueError, match="'sgdd': choose sgd or adamw"):
    build_optimizer(toy_config(**{'train.optimizer.name': 'sgdd'}), {})


def test_frozen_parameters_have_no_optimizer_state():
  state = create_state(toy_config(**{'model.frozen': ('/stem/', '/conv1/')}), ToyDetector(), jax.random.key(0))
  size = {name: sum(x.nbytes for x in jax.tree.leaves(p)) for name, p in state.params['network'].items()}
  velocity = sum(x.nbytes for x in jax.tree.leaves(state.opt_state) if x.ndim)
  assert velocity == size['norm1'] + size['classifier']
  assert size['stem'] > 0 and size['conv1'] > 0


def test_split_and_merge():
  params = {'a': 1, 'b': {'c': 2, 'd': 3}}
  trained, frozen = freezing.split(params, {'a': False, 'b': {'c': True, 'd': False}})
  assert jax.tree.leaves(trained) == [2]
  assert jax.tree.leaves(frozen) == [1, 3]
  assert freezing.merge(trained, frozen) == params
  assert freezing.merge({'a': None, 'b': {'c': 9, 'd': None}}, params) == {'a': 1, 'b': {'c': 9, 'd': 3}}
