"""docs/extending.md, followed to the letter, gives parts that learn."""

import functools
import pathlib
import re
import sys
import types

import jax
import numpy as np
import pytest

from jaxdet.models import build, forward
from jaxdet.models.initialize import initialize
from jaxdet.training.optimizer import build_optimizer
from jaxdet.training.state import create_state
from jaxdet.training.step import make_train_step
from small_detector import CLASSES, make_batch, small_config

quick_jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})
PAGE = pathlib.Path(__file__).resolve().parents[1] / 'docs' / 'extending.md'


def blocks() -> dict[str, str]:
  """The page's Python files by path."""
  return dict(re.findall(r'^`(\S+\.py)`:\n\n```python\n(.*?)```', PAGE.read_text(), re.DOTALL | re.MULTILINE))


def load(path, monkeypatch):
  """A file of the page as a module, put where the page says."""
  module = types.ModuleType(path.removesuffix('.py').replace('/', '.'))
  monkeypatch.setitem(sys.modules, module.__name__, module)
  exec(compile(blocks()[path], path, 'exec'), module.__dict__)
  return module


@pytest.fixture
def foveabox(monkeypatch):
  """The page's method and config."""
  modules = []
  for path in ('jaxdet/models/dense_methods/foveabox.py', 'configs/mmdet/foveabox.py'):
    modules.append(load(path, monkeypatch))
  method, config = modules
  monkeypatch.setitem(build.DENSE_METHODS, 'foveabox', method.FoveaBox)
  return method, config


def test_cells_in_the_middle_of_an_object_are_its_own(foveabox):
  method, _ = foveabox
  corners = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2) * 8.0
  cells = np.concatenate([corners, corners + 8], -1)
  ends, ranges = np.full((64, 2), 64.0), np.tile([10.0, 100.0], (64, 1))
  objects = np.array([[0, 0, 48, 48], [16, 16, 32, 32], [0, 0, 4, 4], [0, 0, 64, 64]], np.float32)
  valid = np.array([True, True, True, False])
  index, positive = method.match_foveae(cells, ends, ranges, objects, valid, sigma=0.5)
  # The large one's fovea is 12 to 36 along each axis, the small one's 20 to 28; cells belong by their centres.
  found = {(int(x), int(y)): int(i) for (x, y), i, p in zip(corners / 8, index, positive, strict=True) if p}
  assert set(found) == {(x, y) for x in (1, 2, 3, 4) for y in (1, 2, 3, 4)}
  assert {cell for cell, i in found.items() if i == 1} == {(x, y) for x in (2, 3) for y in (2, 3)}


def test_the_detector_learns_and_is_trained_by_one_program(foveabox):
  _, configs = foveabox
  config = configs.get_config('mini').copy_and_resolve_references().unlock()
  config.model.backbone = {**config.model.backbone, 'stem_width': 8}
  config.model.neck.channels = 16
  config.model.head.network.update(num_convs=1, channels=16)
  config.train.batch_size = config.train.schedule.base_batch_size = 2
  detector = build.build_detector(config.model, CLASSES)
  state = create_state(config, detector, jax.random.key(0))
  step = make_train_step(config, detector, build_optimizer(config, state.params))
  losses = []
  for _ in range(60):
    state, metrics = step(state, make_batch(), jax.random.key(1))
    losses.append(float(metrics['total_loss']))
  assert losses[-1] < 0.5 * losses[0]
  assert step._cache_size() == 1
  detections = jax.jit(functools.partial(forward.predict, detector))(state.variables, make_batch())
  assert np.isfinite(detections.boxes).all() and detections.valid.any()


def test_a_task_and_a_backbone_of_ones_own(monkeypatch):
  task = load('jaxdet/models/roi_tasks/box_quality.py', monkeypatch)
  backbone = load('jaxdet/models/backbones/plain.py', monkeypatch)
  monkeypatch.setitem(build.ROI_TASKS, 'box_quality', task.make_box_quality)
  monkeypatch.setitem(build.BACKBONES, 'plain', backbone.PlainBackbone)
  config = small_config().copy_and_resolve_references()
  config.model.backbone = {'name': 'plain', 'width': 8}
  config.model.roi.tasks = ('box_quality',)
  config.model.roi.quality_head = {'channels': 8}
  detector = build.build_detector(config.model, CLASSES)
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))

  def total(params):
    losses, _ = forward.loss(detector, variables | {'params': params}, make_batch(), jax.random.key(1))
    return losses['loss_quality'], losses

  gradients, losses = quick_jit(jax.grad(total, has_aux=True))(variables['params'])
  assert {'loss_class', 'loss_box', 'loss_quality'} <= set(losses) and 'loss_mask' not in losses
  for network in ('quality_head', 'neck', 'backbone'):
    assert any(np.abs(x).max() > 0 for x in jax.tree.leaves(gradients[network])), network
  assert all(np.abs(x).max() > 0 for x in jax.tree.leaves(gradients['quality_head']))
  found = quick_jit(functools.partial(forward.predict, detector))(variables, make_batch())
  assert found.valid.any() and (found.scores <= 1).all()
