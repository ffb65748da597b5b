"""What one training step does to the state, and what it reports."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models import forward
from jaxdet.training import freezing
from jaxdet.training.optimizer import build_optimizer
from jaxdet.training.state import create_state
from jaxdet.training.step import make_train_step
from toy_detector import ToyDataset, ToyDetector, toy_config

KEY = jax.random.key(7)
STEPS = {}


def make(config, detector=None):
  """(first state, step); a step is compiled once for all tests that take the same."""
  detector = detector or ToyDetector()
  state = create_state(config, detector, jax.random.key(0))
  text = f'{config.to_json()} {detector!r} {type(detector)}'
  if text not in STEPS:
    STEPS[text] = make_train_step(config, detector, build_optimizer(config, state.params))
  return state, STEPS[text]


def copy(tree):
  return jax.tree.map(np.array, tree)


def test_metrics_of_a_step():
  config = toy_config(**{'train.schedule.warmup_steps': 0})
  state, step = make(config)
  _, metrics = step(state, ToyDataset().batch(0), KEY)
  assert set(metrics) == {'loss_class', 'loss_size', 'accuracy', 'total_loss', 'grad_norm', 'lr'}
  assert metrics['total_loss'] == pytest.approx(float(metrics['loss_class'] + metrics['loss_size']))
  assert metrics['lr'] == pytest.approx(0.1)


def test_the_update_is_that_of_the_gradient_with_the_steps_own_key():
  config = toy_config(**{'train.schedule.warmup_steps': 0, 'train.optimizer.weight_decay': 0.0})
  detector, batch = ToyDetector(), ToyDataset().batch(0)
  state, step = make(config)
  before = copy({'params': state.params, **state.collections})
  state = state.replace(step=jnp.int32(5))
  after, metrics = step(state, batch, KEY)

  def loss(params):
    losses, _ = forward.loss(detector, {**before, 'params': params}, batch, jax.random.fold_in(KEY, 5))
    return losses['loss_class'] + losses['loss_size']

  grads = jax.grad(loss)(before['params'])['network']
  expected = before['params']['network']['classifier']['kernel'] - 0.1 * grads['classifier']['kernel']
  np.testing.assert_allclose(after.params['network']['classifier']['kernel'], expected, rtol=1e-5, atol=1e-7)
  trained = [grads[name] for name in ('conv1', 'norm1', 'classifier')]
  norm = np.sqrt(sum(np.square(g).sum() for g in jax.tree.leaves(trained)))
  assert metrics['grad_norm'] == pytest.approx(norm, rel=1e-5)
  assert int(after.step) == 6


def test_frozen_parameters_stay_and_running_statistics_move():
  state, step = make(toy_config())
  before = copy(state)
  state, _ = step(state, ToyDataset().batch(0), KEY)
  after = copy(state)
  np.testing.assert_array_equal(after.params['network']['stem']['kernel'], before.params['network']['stem']['kernel'])
  assert np.abs(after.params['network']['conv1']['kernel'] - before.params['network']['conv1']['kernel']).max() > 0
  assert np.abs(after.batch_stats['network']['mean'] - before.batch_stats['network']['mean']).max() > 0
  np.testing.assert_array_equal(after.constants['network']['shift'], before.constants['network']['shift'])


def test_the_backward_pass_of_frozen_layers_is_not_computed():
  """With clipping on: the norm must not read the gradient of what is frozen."""
  flops = {}
  for frozen in ((), ('/stem/', '/conv1/')):
    config = toy_config(**{'train.optimizer.clip_norm': 1.0, 'model.frozen': frozen})
    state, step = make(config)
    flops[frozen] = step.lower(state, ToyDataset().batch(0), KEY).compile().cost_analysis()['flops']
  assert flops['/stem/', '/conv1/'] < 0.6 * flops[()]


def test_the_state_is_donated():
  state, step = make(toy_config(**{'train.ema_decay': 0.9}))
  step(state, ToyDataset().batch(0), KEY)
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.params, state.opt_state, state.ema_params)))


def test_one_compilation_for_all_steps():
  state, step = make(toy_config())
  for number in range(3):
    state, _ = step(state, ToyDataset().batch(number), KEY)
  assert step._cache_size() == 1


def test_moving_average_of_the_trained_parameters():
  state, step = make(toy_config(**{'train.ema_decay': 0.75}))
  before = copy(state)
  state, _ = step(state, ToyDataset().batch(0), KEY)
  after = copy(state)
  trained, _ = freezing.split(after.params, freezing.trainable(after.params, ('/stem/',)))
  expected = jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, before.ema_params, trained)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), after.ema_params, expected)
  network = after.variables['params']['network']
  np.testing.assert_array_equal(network['conv1']['kernel'], after.ema_params['network']['conv1']['kernel'])
  np.testing.assert_array_equal(network['stem']['kernel'], after.params['network']['stem']['kernel'])


class NoiseFree(ToyDetector):
  """The loss is a mean over images that does not depend on the key."""

  def loss(self, call, batch, key):
    logits = call('network', batch.image / 255.0)
    return {'loss_class': jnp.square(logits).mean()}


def test_micro_batches_give_the_step_of_the_whole_batch():
  """For a loss that is a mean over images: the mean over equal micro-batches is the same."""
  results = []
  for accumulate in (1, 4):
    state, step = make(toy_config(**{'train.accumulate': accumulate}), NoiseFree())
    results.append(copy(step(state, ToyDataset(16).batch(0), KEY)))
  (whole, whole_metrics), (parts, parts_metrics) = results
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), whole.params, parts.params)
  for name in whole_metrics:
    assert whole_metrics[name] == pytest.approx(parts_metrics[name], rel=1e-5), name


def test_each_micro_batch_moves_the_running_statistics():
  means = []
  for accumulate in (1, 2):
    state, step = make(toy_config(**{'train.accumulate': accumulate}))
    state, _ = step(state, ToyDataset().batch(0), KEY)
    means.append(np.array(state.batch_stats['network']['mean']))
  # 0.1 of the features after one update, 0.19 after two.
  np.testing.assert_allclose(means[1], 1.9 * means[0], rtol=0.05, atol=1e-3)
