"""The figures of a training step and of a prediction."""

import jax
import pytest
from small_workload import small_workload

from jaxdet.benchmark import programs
from jaxdet.benchmark.timing import timed
from jaxdet.benchmark.workload import make_workload
from jaxdet.configuration import load_config
from small_detector import CONFIG


@pytest.fixture(autouse=True)
def small_matrices(monkeypatch):
  monkeypatch.setattr('jaxdet.benchmark.matmul.SIDES', {'cpu': 128})
  monkeypatch.setattr('jaxdet.benchmark.timing.ENOUGH', 0.0)


@pytest.mark.parametrize('task', ['train', 'predict'])
def test_figures_belong_together(task):
  found = programs.measure(small_workload(), task)
  assert found['calls'] == 2 and found['compile_s'] > 0
  assert found['images_per_s'] == pytest.approx(2 / found['step_s'])
  assert found['flops_per_s'] == pytest.approx(found['flops'] / found['step_s'])
  assert found['peak_share'] == pytest.approx(found['flops_per_s'] / found['peak_flops_per_s'])
  assert found['memory_gib']['process'] > found['memory_gib']['compiler'] > 0


def test_a_config_is_made_ready_without_data():
  config = load_config(f'{CONFIG}:v1,loss=seesaw')
  workload = make_workload('x', config, 'float32', images=3, canvas=(64, 64), objects=2, repeats=1)
  model = workload.config.model
  assert (model.num_classes, model.test.score_threshold, model.dtype) == (1203, 0.0, 'float32')
  assert len(model.class_counts.images) == 1203 and workload.images == 3
  assert config.model.dtype == 'bfloat16', 'the config that was given has changed'
  workload.detector()


def test_detectors_without_proposals_of_their_own_are_given_some():
  config = load_config(str(CONFIG.parent / 'detectron2' / 'fast_rcnn.py'))
  workload = make_workload('x', config, 'float32', images=1, canvas=(64, 64), objects=2, repeats=1)
  assert workload.batch().proposals.boxes.shape[1] == config.model.proposals.count


def test_an_unknown_precision_is_an_error():
  with pytest.raises(ValueError, match="unknown --dtype 'float8': choose float32 or bfloat16"):
    small_workload('float8')


def test_more_objects_than_places_are_an_error():
  with pytest.raises(ValueError, match='13 objects an image, and data.max_objects is 12: give --objects less'):
    make_workload('x', load_config(f'{CONFIG}:mini'), 'float32', images=1, canvas=(64, 64), objects=13, repeats=1)


def test_what_is_not_finite_is_an_error():
  with pytest.raises(FloatingPointError, match='total_loss is not finite with random weights'):
    programs.check_finite({'grad_norm': jax.numpy.ones(()), 'total_loss': jax.numpy.array(float('nan'))})


def test_a_quick_call_is_timed_often_and_a_slow_one_as_asked(monkeypatch):
  calls = []
  assert timed(lambda: calls.append(0), repeats=3, warm_up=2).calls == 3 and len(calls) == 5
  monkeypatch.setattr('jaxdet.benchmark.timing.ENOUGH', 1.0)
  assert timed(lambda: None, repeats=3).calls == 100
