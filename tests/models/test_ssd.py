"""SSD on a narrow network: maps, anchors, losses by hand, what learns, and detections."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from jaxdet.configuration import load_config
from jaxdet.models import forward
from jaxdet.models.backbones.vgg import VGG
from jaxdet.models.build import build_detector
from jaxdet.models.dense_methods.predictions import all_predictions
from jaxdet.models.forward import Apply
from jaxdet.models.initialize import initialize
from jaxdet.models.necks.ssd_neck import L2Norm, SSDNeck
from small_detector import CLASSES, make_batch, with_valid

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / 'configs'
SIDE = 64

# Most of the time goes into compiling.
quick_jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


def config_of(size: str):
  return load_config(f'{CONFIGS}/mmdet/ssd.py:size={size}').unlock()


@functools.cache
def small_detector():
  """SSD with few channels on images of 64 x 64 pixels, whose levels have 8, 4, 2 and 1 cells along a side."""
  model = config_of('300').model
  model.dtype = 'float32'
  model.backbone.update(depth=11, width=4, fc_channels=24)
  model.neck.update(channels=(16, 16), strides=(2, 2), padding=(1, 1))
  model.head.anchors.update(
    {'strides': (8, 16, 32, 64), 'sizes': ((8, 16), (16, 28), (28, 40), (40, 56))}
    | {'aspect_ratios': ((2,), (2, 3), (2,), (2,))}
  )
  model.test.update(score_threshold=0.0, pre_nms_topk=50, detections=20)
  return build_detector(model, CLASSES)


@functools.cache
def initial():
  return quick_jit(functools.partial(initialize, small_detector()))(jax.random.key(0))


@functools.cache
def gradient():
  def total(params, batch):
    losses, _ = forward.loss(small_detector(), initial() | {'params': params}, batch, jax.random.key(1))
    return sum(losses.values()), losses

  return quick_jit(jax.grad(total, has_aux=True))


def square_batch(objects: int = 3):
  """Two images that fill a canvas of 64 x 64 pixels, three objects each, room for `objects`."""
  batch = make_batch(objects, canvas=(SIDE, SIDE + 16))
  sizes = np.full((2, 2), SIDE, np.int32)
  image = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8)
  boxes = np.zeros((2, objects, 4), np.float32)
  boxes[0, :3] = [[40, 2, 50, 12], [14, 15, 34, 33], [8, 12, 52, 56]]  # for levels 3, 4, 6
  boxes[1, :3] = [[22, 34, 34, 42], [2, 3, 30, 31], [12, 8, 56, 54]]  # for levels 3, 5, 6
  return batch.replace(
    image=image, image_size=sizes, original_size=sizes, objects=batch.objects.replace(boxes=boxes, masks=None)
  )


@pytest.mark.parametrize('size, sides', [('300', (38, 19, 10, 5, 3, 1)), ('512', (64, 32, 16, 8, 4, 2, 1))])
def test_maps_and_anchors_are_the_papers(size, sides):
  model = config_of(size).model
  detector = build_detector(model, CLASSES)
  image = jax.ShapeDtypeStruct((1, int(size), int(size), 3), jnp.float32)
  features = image
  for name in ('backbone', 'neck', 'head'):
    network = detector.networks[name]
    shapes = jax.eval_shape(functools.partial(network.init_with_output, train=False), jax.random.key(0), features)
    features = shapes[0]
  logits = features['logits']
  counts = detector.method.num_anchors
  assert [maps.shape for maps in logits.values()] == [
    (1, side, side, count, CLASSES + 1) for side, count in zip(sides, counts, strict=True)
  ]
  anchors = detector.method.anchors(features)
  assert sum(map(len, anchors.values())) == {'300': 8732, '512': 24564}[size]
  for level, stride in zip(sorted(anchors), model.head.anchors.strides, strict=True):
    middle = (anchors[level][0, :2] + anchors[level][0, 2:]) / 2
    np.testing.assert_allclose(middle, stride / 2)


def test_an_odd_map_is_pooled_to_half_of_it_and_one():
  shapes = jax.eval_shape(
    functools.partial(VGG(11, width=2, fc_channels=4).init_with_output, train=False),
    jax.random.key(0),
    jax.ShapeDtypeStruct((1, 75, 41, 3), jnp.float32),
  )[0]
  assert {level: maps.shape for level, maps in shapes.items()} == {3: (1, 10, 6, 16), 4: (1, 5, 3, 4)}
  with pytest.raises(ValueError, match='no VGG of depth 12'):
    VGG(12).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def test_pixels_have_the_length_that_training_begins_with_and_zeros_a_gradient():
  x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2, 2, 5)), jnp.float32).at[0, 0, 0].set(0.0)
  norm = L2Norm(20.0)
  variables = norm.init(jax.random.key(0), x)
  length = jnp.linalg.norm(norm.apply(variables, x), axis=-1)
  np.testing.assert_allclose(length, [[[0, 20], [20, 20]]], rtol=1e-5)
  assert np.isfinite(jax.grad(lambda x: norm.apply(variables, x).sum())(x)).all()


@pytest.mark.parametrize('size, padding, kernel', [(5, 0, 3), (3, 0, 3), (2, 1, 4), (4, 1, 3)])
def test_the_last_level_is_padded_as_stated(size, padding, kernel):
  neck = SSDNeck((6,), (1,), (padding,), last_size=kernel)
  last = jnp.asarray(np.random.default_rng(0).random((1, size, size, 8)), jnp.float32)
  features = {3: jnp.ones((1, 9, 9, 2)), 4: last}
  levels, variables = neck.init_with_output(jax.random.key(0), features)
  params = variables['params']
  x = jax.nn.relu(features[4] @ params['reduce5']['kernel'][0, 0])
  dimensions = ('NHWC', 'HWIO', 'NHWC')
  expected = jax.lax.conv_general_dilated(
    x, params['output5']['kernel'], (1, 1), [(padding, padding)] * 2, dimension_numbers=dimensions
  )
  np.testing.assert_allclose(levels[5], jax.nn.relu(expected), rtol=1e-4, atol=1e-5)


def test_losses_by_hand():
  """Every positive, and three times as many negatives an image: those of the largest loss."""
  detector, batch = small_detector(), square_batch()

  @quick_jit
  def outputs_and_losses(variables):
    call = Apply(detector.networks, variables, train=True)
    outputs = call('head', call('neck', call('backbone', detector.preprocess(batch))))
    return outputs, detector.method.loss(call, outputs, batch, jax.random.key(0))

  outputs, losses = outputs_and_losses(initial())
  rows = all_predictions(outputs)
  anchors = np.concatenate(list(detector.method.anchors(outputs).values()))
  expected, positives = 0.0, 0
  for i in range(2):
    labels = np.full(len(anchors), CLASSES)
    overlaps = np.stack([[_iou(box, anchor) for anchor in anchors] for box in batch.objects.boxes[i]])
    best = overlaps.argmax(0)
    found = overlaps.max(0) >= 0.5
    labels[found] = batch.objects.labels[i][best[found]]
    for gt, first in enumerate(overlaps.argmax(1)):
      labels[first] = batch.objects.labels[i][gt]
    log_p = np.asarray(jax.nn.log_softmax(rows['logits'][i]))
    each = -log_p[np.arange(len(anchors)), labels]
    count = (labels < CLASSES).sum()
    expected += each[labels < CLASSES].sum() + np.sort(each[labels == CLASSES])[::-1][: 3 * count].sum()
    positives += count
  assert 0 < 4 * positives < 2 * len(anchors)
  np.testing.assert_allclose(losses['loss_class'], expected / positives, rtol=1e-5)


def _iou(a, b) -> float:
  width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
  both = max(width, 0) * max(height, 0)
  return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


def test_every_array_of_every_network_learns():
  gradients, losses = gradient()(initial()['params'], square_batch())
  assert set(losses) == {'loss_class', 'loss_box'} and all(np.isfinite(v) and v > 0 for v in losses.values())
  for path, array in flatten_dict(gradients, sep='/').items():
    assert np.isfinite(array).all() and np.abs(array).max() > 0, path


def test_room_for_objects_changes_nothing_and_images_without_objects_teach_nothing():
  params = initial()['params']
  _, losses = gradient()(params, square_batch())
  _, padded = gradient()(params, square_batch(objects=5))
  np.testing.assert_allclose(list(padded.values()), list(losses.values()), rtol=1e-6)
  batch = square_batch()
  gradients, empty = gradient()(params, with_valid(batch, np.zeros_like(batch.objects.valid)))
  assert empty['loss_class'] == empty['loss_box'] == 0.0
  assert not any(np.abs(g).max() for g in jax.tree.leaves(gradients))


def test_detections_lie_on_the_image_best_first():
  found = quick_jit(functools.partial(forward.predict, small_detector()))(initial(), square_batch())
  boxes, valid = np.asarray(found.boxes), np.asarray(found.valid)
  assert valid.any() and (np.asarray(found.labels)[valid] < CLASSES).all()
  assert (boxes[valid] >= 0).all() and (boxes[valid] <= SIDE).all()
  assert (boxes[valid][:, 2:] > boxes[valid][:, :2]).all()
  assert (np.diff(np.where(valid, found.scores, 0)) <= 1e-6).all()


def test_two_images_are_learned_by_heart():
  detector, batch, optimizer = small_detector(), square_batch(), optax.adam(3e-3)

  @quick_jit
  def update(gradients, params, state):
    updates, state = optimizer.update(gradients, state)
    return optax.apply_updates(params, updates), state

  params, losses = initial()['params'], []
  state = optimizer.init(params)
  for _ in range(200):
    gradients, of_step = gradient()(params, batch)
    params, state = update(gradients, params, state)
    losses.append(float(sum(of_step.values())))
  assert losses[-1] < losses[0] / 10
  found = quick_jit(functools.partial(forward.predict, detector))(initial() | {'params': params}, batch)
  for i in range(2):
    order = np.argsort(found.labels[i, :3])
    np.testing.assert_allclose(found.boxes[i, :3][order], batch.objects.boxes[i], atol=4)
    assert found.labels[i, :3][order].tolist() == batch.objects.labels[i].tolist()
