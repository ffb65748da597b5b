"""A program taken apart: its steps, and that nothing is lost or done twice."""

import jax
import numpy as np
import pytest
from small_workload import small_workload

from jaxdet.benchmark import stages
from jaxdet.benchmark.taps import POINTS, Recorder, tapped
from jaxdet.models.build import build_detector
from jaxdet.models.detectors import rcnn
from jaxdet.models.detectors.forward import Forward
from small_detector import CLASSES, make_batch, small_config
from small_query import small_config as small_query_config

REGIONS = ['backbone', 'neck', 'rpn_head']


@pytest.fixture
def quick_compilation():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


def steps_of(detector, name):
  """The steps of `loss` or `predict`, from shapes alone."""
  variables = jax.eval_shape(detector.init, jax.random.key(0))
  recorder = Recorder()
  key = [jax.random.key(0)] if name == 'loss' else []
  with tapped(recorder, detector.trainable(variables['params'])):
    jax.eval_shape(getattr(detector, name), variables, make_batch(), *key)
  return recorder.calls


def test_the_steps_of_mask_rcnn():
  detector = build_detector(small_config().model, CLASSES)
  assert [call.step for call in steps_of(detector, 'loss')] == [
    *REGIONS, 'RPN losses', 'proposals', 'sampling of regions', 'RoIAlign', 'box_head', 'RoIAlign', 'mask_head',
    'mask loss',
  ]  # fmt: skip
  assert [call.step for call in steps_of(detector, 'predict')] == [
    *REGIONS, 'proposals', 'RoIAlign', 'box_head', 'detections', 'RoIAlign', 'mask_head'
  ]  # fmt: skip


def test_the_steps_of_a_query_detector():
  detector = build_detector(small_query_config('detr').model, CLASSES)
  assert [call.step for call in steps_of(detector, 'loss')] == ['backbone', 'neck', 'encoder', 'decoder', 'assignment']
  assert [call.step for call in steps_of(detector, 'predict')][-1] == 'detections'


def test_gradients_flow_where_training_lets_them():
  """Through features and logits, but neither into images nor through boxes that are proposed."""
  detector = build_detector(small_config().model, CLASSES)
  calls = {call.step: call for call in steps_of(detector, 'loss')}
  assert calls['backbone'].gradient == (0,) and calls['neck'].gradient == (0, 4)
  assert calls['proposals'].gradient == calls['sampling of regions'].gradient == ()
  features, boxes = calls['RoIAlign'].arguments
  assert calls['RoIAlign'].gradient == (0,) and set(features) == {2, 3, 4, 5} and boxes.shape[-1] == 4


def test_nothing_stays_replaced():
  before = [getattr(point.module, point.function) for point in POINTS]
  with pytest.raises(KeyError), tapped(Recorder(), {}):
    assert rcnn.Forward is not Forward
    raise KeyError
  assert rcnn.Forward is Forward
  assert [getattr(point.module, point.function) for point in POINTS] == before


def test_what_remains_makes_the_whole_result_from_the_steps_results():
  workload = small_workload()
  detector = workload.detector()
  variables, batch = jax.jit(detector.init)(jax.random.key(0)), jax.device_put(workload.batch('train'))

  def losses(variables, batch):
    return detector.loss(variables, batch, jax.random.key(0))[0]

  calls, rest = stages.record(losses, (variables, batch), detector.trainable(variables['params']))
  assert [call.step for call in calls] == ['backbone', 'neck', 'head']
  by_parts, whole = jax.jit(rest.function)(*rest.arguments), jax.jit(losses)(variables, batch)
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
