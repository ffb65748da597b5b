"""A program taken apart: its steps, and that nothing is lost or done twice."""

import functools

import jax
import numpy as np
import pytest
from small_workload import small_workload

from jaxdet.benchmark import stages
from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize, variable_shapes
from jaxdet.models.recording import Record
from jaxdet.training import freezing
from small_detector import CLASSES, make_batch, small_config
from small_query import small_config as small_query_config

REGIONS = ['backbone', 'neck', 'rpn_head']


@pytest.fixture
def quick_compilation():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


def steps_of(detector, name):
  """The calls of `loss` or `predict`, from shapes alone."""
  variables = variable_shapes(detector)
  calls = []

  def run(variables):
    call = Record(detector.networks, variables, train=name == 'loss', dropout=jax.random.key(0))
    getattr(detector, name)(call, make_batch(), *([jax.random.key(0)] if name == 'loss' else []))
    calls.extend(call.calls)

  jax.eval_shape(run, variables)
  return calls


def test_the_steps_of_mask_rcnn():
  detector = build_detector(small_config().model, CLASSES)
  assert [call.name for call in steps_of(detector, 'loss')] == [
    *REGIONS, 'RPN losses', 'proposals', 'sampling of regions', 'RoIAlign', 'box_head', 'RoIAlign', 'mask_head',
    'mask loss',
  ]  # fmt: skip
  assert [call.name for call in steps_of(detector, 'predict')] == [
    *REGIONS, 'proposals', 'RoIAlign', 'box_head', 'detections', 'RoIAlign', 'mask_head'
  ]  # fmt: skip


def test_the_steps_of_a_query_detector():
  detector = build_detector(small_query_config('detr').model, CLASSES)
  assert [call.name for call in steps_of(detector, 'loss')] == ['backbone', 'neck', 'encoder', 'decoder', 'assignment']
  assert [call.name for call in steps_of(detector, 'predict')][-1] == 'detections'


def test_gradients_flow_where_training_lets_them():
  """Through features and logits, but neither into images nor through boxes that are proposed."""
  detector = build_detector(small_config().model, CLASSES)
  calls = {call.name: call for call in steps_of(detector, 'loss')}
  assert calls['neck'].gradient == 1 and calls['proposals'].gradient == calls['sampling of regions'].gradient == 0
  features, boxes = calls['RoIAlign'].arguments
  assert calls['RoIAlign'].gradient == 1 and set(features) == {2, 3, 4, 5} and boxes.shape[-1] == 4


def test_what_remains_makes_the_whole_result_from_the_steps_results():
  workload = small_workload()
  detector = workload.detector()
  variables = jax.jit(functools.partial(initialize, detector))(jax.random.key(0))
  batch, key = jax.device_put(workload.batch()), jax.random.key(0)
  trainable = freezing.trainable(variables['params'], workload.config.model.frozen)
  *calls, rest = stages.record(detector.loss, detector.networks, variables, trainable, (batch, key), train=True)
  assert [call.step for call in calls] == ['backbone', 'neck', 'head']
  assert calls[0].gradient == (0,) and calls[1].gradient == (0, 3)  # parameters alone; parameters and features
  by_parts = jax.jit(rest.function)(*rest.arguments)
  whole, _ = jax.jit(functools.partial(forward.loss, detector))(variables, batch, key)
  assert by_parts.keys() == whole.keys() == {'loss_class', 'loss_box'}
  for name, value in whole.items():
    np.testing.assert_allclose(by_parts[name], value, rtol=1e-4)


@pytest.mark.parametrize('task', [pytest.param('train', marks=pytest.mark.slow), 'predict'])
def test_every_step_is_timed(task, monkeypatch, quick_compilation):
  monkeypatch.setattr('jaxdet.benchmark.timing.ENOUGH', 0.0)
  found = stages.measure_stages(small_workload(), task)
  times = {stage['step']: (stage['forward_s'], stage['backward_s']) for stage in found['stages']}
  assert all(forward > 0 for forward, _ in times.values()) and found['forward_s'] > 0
  if task == 'train':
    assert list(times) == ['backbone', 'neck', 'head', 'all else']
    assert all(backward >= 0 for _, backward in times.values()) and found['optimizer_s'] > 0
    assert found['step_s'] > 0
  else:
    assert list(times) == ['backbone', 'neck', 'head', 'detections', 'all else']
    assert all(backward is None for _, backward in times.values())


def test_steps_that_come_twice_are_numbered():
  named = stages.numbered([{'step': name} for name in ('RoIAlign', 'box_head', 'RoIAlign')])
  assert [stage['step'] for stage in named] == ['RoIAlign 1', 'box_head', 'RoIAlign 2']
