"""The detector as a whole, on a network small enough to compile in seconds."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.parts import roi
from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize, variable_shapes
from jaxdet.training import freezing
from small_detector import CLASSES, make_batch, small_config


@functools.cache
def detector():
  return build_detector(small_config().model, CLASSES)


@functools.cache
def variables():
  return jax.jit(functools.partial(initialize, detector()))(jax.random.key(0))


loss = jax.jit(lambda variables, batch, key: forward.loss(detector(), variables, batch, key)[0])
predict = jax.jit(lambda variables, batch: forward.predict(detector(), variables, batch))


def test_losses_are_finite_and_start_near_their_known_values():
  losses = loss(variables(), make_batch(), jax.random.key(1))
  assert all(np.isfinite(v) for v in losses.values())
  # Small random logits: cross entropy is log 2 for each sampled anchor, log(K + 1) for each region.
  np.testing.assert_allclose(losses['loss_rpn_objectness'], np.log(2), rtol=0.1)
  np.testing.assert_allclose(losses['loss_class'], np.log(CLASSES + 1), rtol=0.2)
  np.testing.assert_allclose(losses['loss_mask'], np.log(2), rtol=0.1)


def test_rows_without_objects_change_nothing():
  # Every anchor and region is taken: which ones are sampled depends on how many rows there are.
  config = small_config().copy_and_resolve_references()
  config.model.proposals.sampler.num = config.model.roi.sampler.num = 0
  initial = variables()  # not within the trace: it is cached
  everything = jax.jit(
    lambda batch: forward.loss(build_detector(config.model, CLASSES), initial, batch, jax.random.key(1))[0]
  )
  few, many = everything(make_batch(3)), everything(make_batch(7))
  for name in few:
    np.testing.assert_allclose(few[name], many[name], rtol=1e-5, err_msg=name)


def test_an_image_without_objects_trains_on_background_alone():
  batch = make_batch()
  batch = batch.replace(objects=batch.objects.replace(valid=np.zeros_like(batch.objects.valid)))
  losses = loss(variables(), batch, jax.random.key(1))
  assert losses['loss_box'] == losses['loss_mask'] == losses['loss_rpn_box'] == losses['positives'] == 0
  assert losses['loss_class'] > 0


def test_detections_lie_on_the_image_and_are_sorted():
  found = predict(variables(), make_batch())
  valid = np.asarray(found.valid)
  assert valid.any()
  boxes, scores = np.asarray(found.boxes)[valid], np.asarray(found.scores)
  assert (boxes >= 0).all() and (boxes[:, [0, 2]] <= 80).all() and (boxes[:, [1, 3]] <= 56).all()
  assert (np.diff(scores, axis=1)[valid[:, 1:]] <= 0).all()
  assert np.asarray(found.labels)[valid].max() < CLASSES
  assert found.masks.probabilities.shape == (*found.scores.shape, 28, 28)


def test_pixels_beyond_the_image_change_nothing():
  batch = make_batch()
  soiled = np.full_like(batch.image, 200)
  soiled[:, :56, :80] = batch.image[:, :56, :80]
  clean, same = predict(variables(), batch), predict(variables(), batch.replace(image=soiled))
  jax.tree.map(np.testing.assert_array_equal, clean, same)


def test_an_image_in_a_batch_is_treated_as_alone():
  both, alone = predict(variables(), make_batch(images=2)), predict(variables(), make_batch(images=1))
  np.testing.assert_allclose(both.scores[0], alone.scores[0], atol=1e-5)


def test_one_compilation_serves_all_batches_of_a_shape():
  step = jax.jit(lambda v, b, k: forward.loss(detector(), v, b, k)[0])
  for seed in range(2):
    step(variables(), make_batch(), jax.random.key(seed))
  assert step._cache_size() == 1


def test_frozen_stages_are_not_trainable_and_get_no_gradient():
  config = small_config().copy_and_resolve_references()
  config.model.frozen = ('^backbone/(stem|stage2)/',)
  frozen = build_detector(config.model, CLASSES)
  params = variables()['params']
  trainable = freezing.trainable(params, config.model.frozen)

  def total(params):
    losses, _ = forward.loss(frozen, variables() | {'params': params}, make_batch(), jax.random.key(1))
    return sum(v for k, v in losses.items() if k.startswith('loss_'))

  # Of the backbone: which anchors are sampled decides whether every part of the heads has a gradient.
  gradients = jax.jit(jax.grad(total))(params)['backbone']
  norms = jax.tree.leaves(jax.tree.map(lambda g: float(jnp.abs(g).sum()), gradients))
  trained = jax.tree.leaves(trainable['backbone'])
  assert any(trained) and not all(trained)
  assert [norm > 0 for norm in norms] == trained
  assert all(jax.tree.leaves({name: trainable[name] for name in ('neck', 'rpn_head', 'box_head', 'mask_head')}))


def test_without_a_mask_head_it_is_faster_rcnn():
  config = small_config().copy_and_resolve_references()
  config.model.roi.tasks = ()
  faster = build_detector(config.model, CLASSES)
  shapes = variable_shapes(faster)
  assert 'mask_head' not in shapes['params']
  losses, _ = jax.eval_shape(functools.partial(forward.loss, faster), shapes, make_batch(), jax.random.key(0))
  assert 'loss_mask' not in losses and 'loss_box' in losses
  assert jax.eval_shape(functools.partial(forward.predict, faster), shapes, make_batch()).masks is None


def test_without_box_regression_a_roi_is_the_box_of_its_detections():
  config = small_config().copy_and_resolve_references()
  config.model.roi.tasks = ()
  config.model.roi.box_head.box_regression = False
  classes_alone = build_detector(config.model, CLASSES)
  shapes = variable_shapes(classes_alone)
  losses, _ = jax.eval_shape(functools.partial(forward.loss, classes_alone), shapes, make_batch(), jax.random.key(0))
  assert 'loss_class' in losses and 'loss_box' not in losses
  assert jax.eval_shape(functools.partial(forward.predict, classes_alone), shapes, make_batch()).boxes.shape[2] == 4
  rois = jnp.asarray([[2.0, 3.0, 30.0, 40.0], [50.0, 10.0, 90.0, 60.0]])
  rows, labels = jnp.asarray([1, 0, 1]), jnp.asarray([0, 2, 4])
  decoded = classes_alone.stages[0].decode(None, rows, labels, rois, jnp.asarray([56, 80]))
  np.testing.assert_array_equal(decoded, [[50, 10, 80, 56], [2, 3, 30, 40], [50, 10, 80, 56]])
  config.model.roi.cascade = roi.mmdet_cascade()
  with pytest.raises(ValueError, match='set roi.box_head.box_regression to True'):
    build_detector(config.model, CLASSES)


def test_training_moves_the_statistics_of_sync_bn_and_of_nothing_else():
  config = small_config().copy_and_resolve_references()
  config.model.backbone = {**config.model.backbone, 'norm': 'sync_bn'}
  config.model.frozen = ('^backbone/(stem|stage2)/',)
  batch_norm = build_detector(config.model, CLASSES)
  start = jax.jit(functools.partial(initialize, batch_norm))(jax.random.key(0))
  _, state = jax.jit(functools.partial(forward.loss, batch_norm))(start, make_batch(), jax.random.key(1))
  assert set(state) == {'batch_stats'}
  before, after = start['batch_stats']['backbone'], state['batch_stats']['backbone']
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
  assert all(jax.tree.leaves(moved['stage5']))
  assert not any(jax.tree.leaves([moved['stem'], moved['stage2']]))  # frozen


def test_an_unknown_part_is_named():
  config = small_config().copy_and_resolve_references()
  config.model.neck.name = 'fpm'
  with pytest.raises(ValueError, match="'fpm'.*fpn"):
    build_detector(config.model, CLASSES)


def on_devices(count: int, dtype: str) -> dict:
  """What mesh_program.py prints on so many devices."""
  here = pathlib.Path(__file__).parent
  environment = os.environ | {
    # Most of the time goes into compiling.
    'XLA_FLAGS': f'--xla_force_host_platform_device_count={count} --xla_backend_optimization_level=0',
    'JAX_PLATFORMS': 'cpu',
    'PYTHONPATH': os.pathsep.join(str(folder) for folder in (here.parents[1], here.parent)),
  }
  command = [sys.executable, here / 'mesh_program.py', dtype]
  printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
  return json.loads(printed.stdout.splitlines()[-1])


@pytest.mark.slow
def test_devices_change_nothing():
  """In float64: a gradient jumps where an activation is 0, and of some hundred thousand activations the float32 sums of
  two programs put one on different sides now and then."""
  one, four = on_devices(1, 'float64'), on_devices(4, 'float64')
  assert one['devices'] == 1 and four['devices'] == 4
  for ours, theirs in zip(one['losses'], four['losses'], strict=True):
    assert theirs['grad_norm'] == pytest.approx(ours['grad_norm'], rel=1e-12)
    for name in ours:  # losses are sums in float32
      np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6, err_msg=name)


@pytest.mark.slow
def test_devices_exchange_sums_only():
  assert on_devices(4, 'float32')['collectives'] == ['all-reduce']
