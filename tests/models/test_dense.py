"""Dense detectors: what all methods have in common, what each learns, and how pairs are ranked and suppressed."""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import FrozenConfigDict

from jaxdet.models import forward
from jaxdet.models.dense_methods.method import DenseMethod
from jaxdet.models.forward import Apply
from jaxdet.models.initialize import initialize
from jaxdet.structures import Objects
from jaxdet.training import freezing
from small_dense import VARIANTS, small_dense_config, small_dense_detector
from small_detector import CLASSES, make_batch, with_valid

# Most of the time goes into compiling.
quick_jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


@functools.cache
def built(variant: str):
  """(detector, variables, jitted gradient of the loss, jitted predict)."""
  detector = small_dense_detector(small_dense_config(variant))
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))

  def total(params, rest, batch):
    losses, state = forward.loss(detector, rest | {'params': params}, batch, jax.random.key(1))
    return sum(losses.values()), (losses, state)

  predict = quick_jit(functools.partial(forward.predict, detector))
  return detector, variables, quick_jit(jax.grad(total, has_aux=True)), predict


OF_A_LEVEL = re.compile(r'(scale|output|lateral)\d')  # a level without a positive may have no gradient


@pytest.mark.parametrize('variant', VARIANTS)
def test_losses_are_finite_and_reach_every_array_above_the_backbone(variant):
  detector, variables, loss, _ = built(variant)
  gradients, (losses, _) = loss(variables['params'], variables, make_batch())
  assert all(np.isfinite(v) and v > 0 for v in losses.values())
  assert {'loss_class', 'loss_box'} <= set(losses) and all(name.startswith('loss_') for name in losses)
  for network in ('neck', 'head'):
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients[network]):
      name = f'{network}{jax.tree_util.keystr(path)}'
      assert np.isfinite(gradient).all() and (np.abs(gradient).max() > 0 or OF_A_LEVEL.search(name)), name


def test_the_backbones_frozen_stages_are_not_trained():
  detector, variables, *_ = built('retinanet')  # stem and first stage
  trained = freezing.trainable(variables['params'], small_dense_config('retinanet').model.frozen)
  kept = {name for name, layer in trained['backbone'].items() if not any(jax.tree.leaves(layer))}
  assert kept == {'stem', 'stage2'}
  assert all(jax.tree.leaves([trained['neck'], trained['head'], trained['backbone']['stage3']]))


@pytest.mark.parametrize('variant', VARIANTS)
def test_images_without_objects_and_more_room_for_objects(variant):
  _, variables, loss, _ = built(variant)
  batch = make_batch()
  empty = with_valid(batch, np.zeros_like(batch.objects.valid))
  gradients, (losses, _) = loss(variables['params'], variables, empty)
  assert all(np.isfinite(v) for v in losses.values())
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
  assert losses['loss_box'] == 0.0 and losses['loss_class'] > 0


@pytest.mark.parametrize('variant', VARIANTS)
def test_detections_lie_on_the_image_best_first(variant):
  _, variables, _, predict = built(variant)
  found = predict(variables, make_batch())
  boxes, valid = np.asarray(found.boxes), np.asarray(found.valid)
  assert valid.any() and found.masks is None and not found.incomplete.any()
  assert (boxes[valid] >= 0).all() and (boxes[valid] <= [80, 56, 80, 56]).all()
  assert (boxes[valid][:, 2:] > boxes[valid][:, :2]).all()
  assert (np.diff(np.where(valid, found.scores, 0)) <= 1e-6).all()


@pytest.mark.parametrize('variant', VARIANTS)
def test_one_compilation_serves_all_batches_of_a_shape(variant):
  _, variables, loss, predict = built(variant)
  batch = make_batch()
  other = with_valid(batch, np.zeros_like(batch.objects.valid)).replace(image=batch.image[::-1].copy())
  for each in (batch, other):
    loss(variables['params'], variables, each)
    predict(variables, each)
  assert loss._cache_size() == predict._cache_size() == 1


@pytest.mark.parametrize('variant, initial', [('retinanet of detectron2', 100.0), ('fcos of detectron2', 300.0)])
def test_a_running_normalizer_is_kept_where_batch_norms_keep_theirs(variant, initial):
  _, variables, loss, _ = built(variant)
  before = variables['batch_stats']['loss']['positives']
  _, (_, state) = loss(variables['params'], variables, make_batch())
  after = state['batch_stats']['loss']['positives']
  assert before == initial and 0.9 * initial + 0.1 <= after < initial
  assert 'loss' not in built('retinanet')[1]['batch_stats']


def test_training_begins_with_a_low_probability_of_every_class():
  detector, variables, *_ = built('retinanet')
  pyramid = {4: jnp.zeros((1, 2, 2, 16))}
  maps = detector.networks['head'].apply({'params': variables['params']['head']}, pyramid)
  np.testing.assert_allclose(jax.nn.sigmoid(maps['logits'][4]), 0.01, rtol=1e-4)
  assert maps['logits'][4].shape == (1, 2, 2, 9, CLASSES) and maps['box_regression'][4].shape == (1, 2, 2, 9, 4)


COLOURS = np.array([[255, 40, 40], [40, 255, 40], [40, 40, 255]], np.uint8)


def coloured_squares():
  """Four images of 64 x 64 pixels with two squares each, whose colour is their class."""
  batch = make_batch(images=4)
  image, boxes = np.zeros((4, 64, 64, 3), np.uint8), np.zeros((4, 3, 4), np.float32)
  labels, rng = np.zeros((4, 3), np.int32), np.random.default_rng(0)
  for i in range(4):
    for k, left in enumerate((2, 34)):
      side, label = rng.integers(16, 28), rng.integers(len(COLOURS))
      top = rng.integers(2, 62 - side)
      boxes[i, k], labels[i, k] = [left, top, left + side, top + side], label
      image[i, top : top + side, left : left + side] = COLOURS[label]
  sizes = np.full((4, 2), 64, np.int32)
  valid = np.tile([True, True, False], (4, 1))
  return batch.replace(image=image, objects=Objects(boxes, labels, valid), image_size=sizes, original_size=sizes)


@pytest.mark.parametrize('variant, factor', [('retinanet', 20), ('fcos of detectron2', 3), ('atss', 3), ('gfl', 5)])
def test_four_images_are_learned_by_heart(variant, factor):
  config = small_dense_config(variant).copy_and_resolve_references()
  config.model.frozen = ()
  detector = small_dense_detector(config)
  variables, batch = quick_jit(functools.partial(initialize, detector))(jax.random.key(0)), coloured_squares()
  optimizer = optax.adam(3e-3)

  @quick_jit
  def step(params, state):
    def total(params):
      return sum(forward.loss(detector, variables | {'params': params}, batch, jax.random.key(1))[0].values())

    loss, gradient = jax.value_and_grad(total)(params)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), state, loss

  params, state, losses = variables['params'], optimizer.init(variables['params']), []
  for _ in range(150):
    params, state, loss = step(params, state)
    losses.append(float(loss))
  print(variant, losses[0], losses[-1])
  assert losses[-1] < losses[0] / factor
  found = quick_jit(functools.partial(forward.predict, detector))(variables | {'params': params}, batch)
  for i in range(4):
    order = np.argsort(found.boxes[i, :2, 0])
    np.testing.assert_allclose(found.boxes[i, :2][order], batch.objects.boxes[i, :2], atol=4)
    assert found.labels[i, :2][order].tolist() == batch.objects.labels[i, :2].tolist()


class Plain(DenseMethod):
  """A method whose regression is boxes, and whose logits are scores."""

  def anchors(self, outputs):
    return {level: np.zeros((maps.size, 4), np.float32) for level, maps in outputs['logits'].items()}

  def scores(self, predictions):
    return predictions['logits']

  def decode(self, predictions, anchors, strides):
    return predictions['box_regression']


TEST = {
  'score_threshold': 0.1,
  'iou': 0.5,
  'detections': 4,
  'pre_nms_topk': 4,
  'clip_before_nms': True,
  'legacy_plus_one': False,
}


def plain(**test) -> Plain:
  return Plain(FrozenConfigDict({'anchors': {'strides': ()}}), FrozenConfigDict({**TEST, **test}), num_classes=1)


def detected(boxes, scores, **test):
  """Detections of an image of 20 x 20 pixels from rows of one class, all of one level."""
  boxes, scores = jnp.asarray(boxes, jnp.float32), jnp.asarray(scores, jnp.float32)
  outputs = {'logits': {3: scores.reshape(1, 1, -1, 1, 1)}, 'box_regression': {3: boxes.reshape(1, 1, -1, 1, 4)}}
  batch = make_batch(images=1).replace(image_size=jnp.array([[20, 20]]))
  found = quick_jit(lambda outputs: plain(**test).detect(Apply({}, {}, train=False), outputs, batch))(outputs)
  return np.asarray(found.boxes[0])[np.asarray(found.valid[0])].tolist()


def test_boxes_are_clipped_before_suppression_or_after():
  # The two overlap by a quarter, but are the same within the image.
  boxes = [[-60, 0, 20, 20], [0, 0, 20, 20]]
  assert detected(boxes, [0.9, 0.8]) == [[0, 0, 20, 20]]
  assert detected(boxes, [0.9, 0.8], clip_before_nms=False) == [[0, 0, 20, 20]] * 2
  assert detected([[0, 0, 20, 20]], [0.9], legacy_plus_one=True) == [[0, 0, 19, 19]]


def test_boxes_beside_the_image_are_dropped_before_they_suppress_or_take_a_place():
  boxes = [[30, 0, 50, 20], [0, 0, 20, 20], [0, 0, 5, 5]]
  assert detected(boxes, [0.9, 0.8, 0.7], detections=2) == [[0, 0, 20, 20], [0, 0, 5, 5]]
  assert detected(boxes, [0.9, 0.8, 0.7], detections=2, clip_before_nms=False) == [[0, 0, 20, 20]]


def test_scores_at_the_threshold_and_numbers_that_are_none_are_no_detections():
  assert detected([[0, 0, 5, 5]], [0.1]) == []
  assert detected([[0, 0, 5, 5], [5, 5, 9, 9], [np.inf, 0, 5, 5]], [np.nan, 0.5, 0.9]) == [[5, 5, 9, 9]]


def test_a_level_gives_its_best_pairs_alone():
  boxes = [[k, 0, k + 1, 1] for k in range(6)]
  assert detected(boxes, [0.2, 0.3, 0.4, 0.5, 0.6, 0.7], pre_nms_topk=2) == [[5, 0, 6, 1], [4, 0, 5, 1]]


@pytest.mark.parametrize('limit', [1, 7, 50, 200])
def test_the_best_pairs_are_those_of_all_pairs(limit):
  scores = np.random.default_rng(0).permutation(40 * 5).reshape(40, 5).astype(np.float32)
  rows, labels, best = quick_jit(lambda rows: plain().best_pairs(rows, limit))({'logits': scores})
  assert best.tolist() == sorted(scores.reshape(-1).tolist(), reverse=True)[:limit]
  np.testing.assert_array_equal(scores[np.asarray(rows), np.asarray(labels)], best)


@pytest.mark.parametrize(
  'variant',
  ['atss', *(pytest.param(name, marks=pytest.mark.slow) for name in ('yolact', 'fcos of detectron2', 'cornernet'))],
)
def test_devices_exchange_sums_only(variant):
  here = pathlib.Path(__file__).parent
  environment = os.environ | {
    'XLA_FLAGS': '--xla_force_host_platform_device_count=4',
    'JAX_PLATFORMS': 'cpu',
    'PYTHONPATH': os.pathsep.join(str(folder) for folder in (here.parents[1], here.parent)),
  }
  command = [sys.executable, here / 'dense_mesh_program.py', variant]
  printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
  found = json.loads(printed.stdout.splitlines()[-1])
  assert (found['devices'], found['loss'], found['predict']) == (4, ['all-reduce'], [])
  np.testing.assert_allclose(found['every'], found['one'], rtol=1e-4)
