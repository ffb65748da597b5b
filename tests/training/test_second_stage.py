"""A second stage trains a part of the box head alone: nothing else moves, has a gradient or optimizer state."""

import jax
import numpy as np
import pytest

from jaxdet.annotations.same_categories import Table
from jaxdet.cli.jobs.training import check_start
from jaxdet.flops import matrix_flops
from jaxdet.models.build import build_detector
from jaxdet.structures import Category
from jaxdet.training.checkpoint import Checkpoints, Metadata
from jaxdet.training.optimizer import build_optimizer
from jaxdet.training.state import abstract_state, create_state
from jaxdet.training.step import make_train_step
from small_detector import CLASSES, make_batch, small_config

CATEGORIES = tuple(Category(id=i + 1, name=f'class {i + 1}', frequency='r') for i in range(CLASSES))


def stage(calibration: str = ''):
  config = small_config().copy_and_resolve_references()
  config.model.num_classes = CLASSES
  config.train.batch_size = config.train.schedule.base_batch_size = 2
  if calibration:
    config.model.roi.box_head.calibration = calibration
    config.model.frozen = (r'^(?!box_head/calibration/)',)
    config.model.roi.class_loss = {'name': 'reweighted', 'scale': 0.8}
    config.model.class_counts = {'images': (5, 4, 3, 2, 1), 'instances': (50, 9, 5, 2, 1), 'num_images': 9}
  return config


def jitted_step(config):
  detector = build_detector(config.model, CLASSES)
  state = create_state(config, detector, jax.random.key(0))
  step = make_train_step(config, detector, build_optimizer(config, state.params))
  batch = make_batch()
  return state, batch, step


def test_what_is_frozen_costs_no_gradient_and_no_optimizer_memory_and_stays():
  first_state, batch, first = jitted_step(stage())
  state, _, second = jitted_step(stage('disalign'))
  # Of the forward and the backward pass, only the first is left.
  key = jax.random.key(1)
  assert matrix_flops(second, state, batch, key) < 0.5 * matrix_flops(first, first_state, batch, key)
  calibration = 2 * CLASSES + 32 + 1  # scale and bias; confidence of 32 hidden units
  assert sum(leaf.size for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim) == calibration

  before = jax.tree.map(np.array, state.params)
  for _ in range(2):  # the confidence has a gradient only once scale and bias have moved
    state, metrics = second(state, batch, jax.random.key(1))
  after = jax.tree.map(np.array, state.params)
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
  assert all(jax.tree.leaves(moved['box_head'].pop('calibration')))
  assert not any(jax.tree.leaves(moved))
  assert np.isfinite(metrics['total_loss'])


def check(config, categories=CATEGORIES):
  check_start(config, build_detector(config.model, len(categories)), Table(categories, 'val.json'))


def test_a_first_stage_needs_no_start():
  check(stage())


def test_a_second_stage_without_a_first_one_is_an_error():
  with pytest.raises(ValueError, match='set train.init_from to the workdir of a trained model'):
    check(stage('disalign'))


def test_a_missing_first_stage_is_an_error(tmp_path):
  config = stage('disalign')
  config.train.init_from = str(tmp_path / 'nowhere')
  with pytest.raises(FileNotFoundError, match='no checkpoint in .*nowhere'):
    check(config)


def test_a_first_stage_of_another_class_count_is_an_error(tmp_path):
  config = stage('lws')
  state = abstract_state(config, build_detector(config.model, CLASSES))
  checkpoints = Checkpoints(str(tmp_path), keep=1)
  variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state.variables)
  checkpoints.save_variables(variables, Metadata(config.lock(), CATEGORIES))
  checkpoints.close()
  config = config.copy_and_resolve_references().unlock()
  config.train.init_from = str(tmp_path)
  check(config)
  with pytest.raises(ValueError, match='5 categories are never the same as 6'):
    check(config, (*CATEGORIES, Category(id=6, name='six', frequency='r')))
