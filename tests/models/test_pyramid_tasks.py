"""Tasks on the pyramid: beside the stages of a two-stage detector, and as a detector alone."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxdet.models import build, forward
from jaxdet.models.initialize import initialize, variable_shapes
from small_detector import CLASSES, make_batch, small_config


class Brightness(nn.Module):
  """One number of every cell of the finest level."""

  @nn.compact
  def __call__(self, features, *, train=False):
    return nn.Dense(1)(features[min(features)])


class BrightnessTask:
  def __init__(self, settings, shared):
    self.networks, self.weight = {'brightness': Brightness()}, settings.weight

  def outputs(self, call, pyramid):
    return call('brightness', pyramid)

  def loss(self, call, outputs, batch):
    return {'loss_brightness': self.weight * jnp.square(outputs).mean()}

  def predict(self, outputs, detections):
    return detections.replace(semantic=outputs)


@pytest.fixture
def config(monkeypatch):
  monkeypatch.setitem(build.PYRAMID_TASKS, 'brightness', BrightnessTask)
  config = small_config().copy_and_resolve_references()
  config.model.pyramid_tasks = {'brightness': {'weight': 2.0}}
  return config


def shapes(config):
  """What the losses and the detections are, without computing anything."""
  detector = build.build_detector(config.model, CLASSES)
  variables, batch = variable_shapes(detector), make_batch()
  losses, _ = jax.eval_shape(functools.partial(forward.loss, detector), variables, batch, jax.random.key(0))
  return variables, losses, jax.eval_shape(functools.partial(forward.predict, detector), variables, batch)


def test_a_two_stage_detector_has_the_losses_and_predictions_of_its_tasks_beside_its_own(config):
  variables, losses, found = shapes(config)
  assert 'brightness' in variables['params'] and 'box_head' in variables['params']
  assert {'loss_brightness', 'loss_class', 'loss_mask'} <= set(losses)
  assert found.semantic.shape == (2, 16, 24, 1) and found.masks is not None


def test_tasks_alone_are_a_detector_without_boxes(config):
  config.model.name = 'pyramid_network'
  variables, losses, found = shapes(config)
  assert set(variables['params']) == {'backbone', 'neck', 'brightness'} and set(losses) == {'loss_brightness'}
  assert found.semantic.shape == (2, 16, 24, 1)
  assert found.boxes.shape == (2, 0, 4) and found.valid.shape == (2, 0) and found.masks is None


def test_a_task_alone_is_trained_through_the_pyramid(config):
  config.model.name = 'pyramid_network'
  detector = build.build_detector(config.model, CLASSES)
  variables = jax.jit(functools.partial(initialize, detector))(jax.random.key(0))

  @jax.jit
  @jax.grad
  def gradient(params):
    losses, _ = forward.loss(detector, variables | {'params': params}, make_batch(), jax.random.key(1))
    return losses['loss_brightness']

  found = gradient(variables['params'])
  assert all(jnp.abs(g).max() > 0 for g in jax.tree.leaves(found['brightness']) + jax.tree.leaves(found['backbone']))


def test_a_task_that_there_is_not_is_named(config):
  config.model.pyramid_tasks = {'brightnes': {'weight': 2.0}}
  with pytest.raises(ValueError, match="unknown pyramid_tasks 'brightnes'; the nearest is 'brightness'"):
    build.build_detector(config.model, CLASSES)
