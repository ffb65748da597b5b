"""Learning rates by iteration, as Detectron2 and mmdetection have them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import parity_kit
from jaxdet.training import schedules
from toy_detector import toy_config

D2 = {'train.steps': 90, 'train.schedule.milestones': (60, 80), 'train.schedule.warmup_steps': 10}


def rates(schedule, steps: int) -> np.ndarray:
  return np.asarray(jax.jit(jax.vmap(schedule))(jnp.arange(steps)))


def config(**overrides):
  return toy_config(**{**D2, 'train.schedule.base_lr': 0.02, **overrides}).train


@pytest.mark.parametrize(('name', 'upstream'), [('multistep', 'WarmupMultiStepLR'), ('cosine', 'WarmupCosineLR')])
def test_equals_detectron2(name, upstream):
  _, meta = parity_kit.case('ops/d2_nms_schedule')
  ours = rates(schedules.build_schedule(config(**{'train.schedule.name': name})), 90)
  np.testing.assert_allclose(ours, meta['lr'][upstream], rtol=2e-6, atol=1e-9)


def test_multistep_by_hand():
  ours = rates(schedules.build_schedule(config()), 90)
  expected = {0: 2e-5, 5: 0.02 * 0.5005, 9: 0.02 * 0.9001, 10: 0.02, 59: 0.02, 60: 0.002, 79: 0.002, 80: 0.0002}
  for step, lr in expected.items():
    assert ours[step] == pytest.approx(lr, rel=1e-6), step


def test_cosine_ends_warm_up_on_the_curve():
  ours = rates(schedules.linear_warmup(schedules.cosine(1.0, 100), 20, 0.5), 101)
  assert ours[0] == 0.5
  assert ours[20] == pytest.approx(0.5 * (1 + np.cos(np.pi * 0.2)))
  assert ours[10] == pytest.approx((ours[0] + ours[20]) / 2)
  assert ours[100] == pytest.approx(0.0, abs=1e-7)


def test_equals_mmdetection():
  """LinearLR(start_factor=0.001, end=50) by iteration in its chained form, then MultiStepLR([8, 11]) by epoch."""
  images, batch, epochs = 155, 16, 12
  steps_per_epoch = 10  # the last of 9 full batches and one of 11 images
  upstream, lr = [], 0.02 * 0.001
  for step in range(epochs * steps_per_epoch):
    if 0 < step < 50:
      lr *= 1 + (1 - 0.001) / (49 * 0.001 + (step - 1) * (1 - 0.001))
    if step in (8 * steps_per_epoch, 11 * steps_per_epoch):
      lr *= 0.1
    upstream.append(lr)
  milestones = schedules.epochs_to_steps((8, 11), images, batch)
  ours = schedules.linear_warmup(schedules.multistep(0.02, milestones, 0.1), 49, 0.001)
  np.testing.assert_allclose(rates(ours, len(upstream)), upstream, rtol=1e-5)


def test_a_constant_warm_up_equals_mmdetection():
  """ConstantLR(factor=1/3, end=5) by iteration in its chained form, then MultiStepLR at steps 60 and 80."""
  upstream, lr = [], 0.02 / 3
  for step in range(90):
    lr *= {4: 3, 60: 0.1, 80: 0.1}.get(step, 1)
    upstream.append(lr)
  settings = {'warmup': 'constant', 'warmup_steps': 4, 'warmup_factor': 1 / 3}
  ours = schedules.build_schedule(config(**{f'train.schedule.{key}': value for key, value in settings.items()}))
  np.testing.assert_allclose(rates(ours, 90), upstream, rtol=1e-6)


def test_rate_is_linear_in_the_batch_size_and_the_log_says_so():
  train = config(**{'train.batch_size': 4, 'train.schedule.base_batch_size': 16})
  assert schedules.peak_lr(train) == pytest.approx(0.005)
  assert rates(schedules.build_schedule(train), 20)[10] == pytest.approx(0.005)
  assert 'learning rate 0.005 = 0.02 * 4 / 16' in schedules.describe(train)


def test_no_warm_up():
  assert rates(schedules.build_schedule(config(**{'train.schedule.warmup_steps': 0})), 3)[0] == pytest.approx(0.02)


@pytest.mark.parametrize(
  ('changes', 'sentences'),
  [
    ({}, []),
    ({'train.schedule.milestones': ()}, []),
    ({'train.steps': 50}, ['milestones 60, 80 are beyond the last step of 50: the learning rate never falls']),
    ({'train.steps': 80}, ['milestones 80 are beyond the last step of 80: the learning rate falls 1 times of 2']),
    ({'train.steps': 50, 'train.schedule.name': 'cosine'}, []),
    (
      {'train.steps': 10, 'train.schedule.milestones': ()},
      ['warmup_steps is 10 and train.steps 10: the run ends within the warm-up, and the learning rate never reaches'],
    ),
    ({'train.eval_every': 90}, []),
    ({'train.eval_every': 91}, ['train.eval_every is 91 and train.steps 90: evaluation comes at the end alone']),
  ],
)
def test_what_never_comes_is_said(changes, sentences):
  """Detectron2 warns of milestones beyond the last step, and ignores them."""
  found = schedules.doubts(config(**changes))
  assert [sentence in doubt for sentence, doubt in zip(sentences, found, strict=True)] == [True] * len(sentences)


def test_the_description_says_which_milestones_never_come():
  assert schedules.describe(config(**{'train.steps': 80})).endswith('60, 80 of 80 (80 beyond the last step: never)')
  assert schedules.describe(config()).endswith('at steps 60, 80 of 90')


def test_mistakes_are_named():
  with pytest.raises(ValueError, match="'stairs': choose multistep or cosine"):
    schedules.build_schedule(config(**{'train.schedule.name': 'stairs'}))
  with pytest.raises(ValueError, match="'steep': choose one of linear, constant"):
    schedules.build_schedule(config(**{'train.schedule.warmup': 'steep'}))
  with pytest.raises(ValueError, match=r'milestones must increase: \(80, 60\)'):
    schedules.build_schedule(config(**{'train.schedule.milestones': (80, 60)}))
