"""The detector as a whole, on a network small enough to compile in seconds."""

import functools
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models.build import build_detector
from jaxdet.structures import Batch

CONFIG = pathlib.Path(__file__).resolve().parents[2] / 'configs' / 'lvis_maskrcnn.py'
CLASSES = 5


@functools.cache
def small_config():
  spec = importlib.util.spec_from_file_location('lvis_maskrcnn', CONFIG)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  config = module.get_config('mini').unlock()
  config.model.backbone = {**config.model.backbone, 'stem_width': 8}
  config.model.neck.channels = 16
  config.model.rpn.channels = 16
  config.model.roi.box_head.channels = 32
  config.model.roi.mask_head = {**config.model.roi.mask_head, 'num_convs': 1, 'channels': 16}
  return config


@functools.cache
def detector():
  return build_detector(small_config().model, CLASSES)


@functools.cache
def variables():
  return jax.jit(detector().init)(jax.random.key(0))


def make_batch(objects: int = 3, canvas: tuple[int, int] = (64, 96), images: int = 2) -> Batch:
  """Noise images of 56 x 80 pixels on the canvas, three square objects each, room for `objects`."""
  rng = np.random.default_rng(0)
  image = np.zeros((images, *canvas, 3), np.uint8)
  image[:, :56, :80] = rng.integers(0, 256, (images, 56, 80, 3))
  boxes = np.zeros((images, objects, 4), np.float32)
  boxes[:, :3] = [[4, 4, 24, 24], [30, 10, 70, 50], [50, 5, 66, 21]]
  windows = np.zeros_like(boxes)
  windows[:, :3] = boxes[:, :3]
  bits = np.zeros((images, objects, 16, 2), np.uint8)
  bits[:, :3] = 255
  return Batch(
    image=image,
    image_size=np.tile(np.array([[56, 80]], np.int32), (images, 1)),
    original_size=np.tile(np.array([[56, 80]], np.int32), (images, 1)),
    index=np.arange(images, dtype=np.int32),
    valid=np.ones(images, bool),
    boxes=boxes,
    labels=np.tile(np.arange(objects, dtype=np.int32) % CLASSES, (images, 1)),
    objects_valid=np.tile(np.arange(objects) < 3, (images, 1)),
    mask_bits=bits,
    mask_windows=windows,
  )


loss = jax.jit(lambda variables, batch, key: detector().loss(variables, batch, key)[0])
predict = jax.jit(lambda variables, batch: detector().predict(variables, batch))


def test_losses_are_finite_and_start_near_their_known_values():
  losses = loss(variables(), make_batch(), jax.random.key(1))
  assert all(np.isfinite(v) for v in losses.values())
  # Small random logits: cross entropy is log 2 for each sampled anchor, log(K + 1) for each region.
  np.testing.assert_allclose(losses['loss_rpn_objectness'], np.log(2), rtol=0.1)
  np.testing.assert_allclose(losses['loss_class'], np.log(CLASSES + 1), rtol=0.2)
  np.testing.assert_allclose(losses['loss_mask'], np.log(2), rtol=0.1)


def test_rows_without_objects_change_nothing():
  key = jax.random.key(1)
  few, many = loss(variables(), make_batch(3), key), loss(variables(), make_batch(7), key)
  for name in few:
    if name == 'positives' or name.startswith('loss_rpn'):
      np.testing.assert_allclose(few[name], many[name], rtol=1e-5, err_msg=name)


def test_an_image_without_objects_trains_on_background_alone():
  batch = make_batch()
  batch = batch.replace(objects_valid=np.zeros_like(batch.objects_valid))
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
  assert found.masks.shape == (*found.scores.shape, 28, 28)


def test_a_larger_canvas_gives_the_same_detections():
  small, large = predict(variables(), make_batch()), predict(variables(), make_batch(canvas=(96, 128)))
  count = np.asarray(small.valid).sum()
  # Group norm and the border of the feature maps see the canvas, so scores agree only roughly.
  assert abs(count - np.asarray(large.valid).sum()) <= 0.2 * count


def test_an_image_in_a_batch_is_treated_as_alone():
  both, alone = predict(variables(), make_batch(images=2)), predict(variables(), make_batch(images=1))
  np.testing.assert_allclose(both.scores[0], alone.scores[0], atol=1e-5)


def test_one_compilation_serves_all_batches_of_a_shape():
  step = jax.jit(lambda v, b, k: detector().loss(v, b, k)[0])
  for seed in range(2):
    step(variables(), make_batch(), jax.random.key(seed))
  assert step._cache_size() == 1


def test_frozen_stages_are_not_trainable_and_get_no_gradient():
  config = small_config().copy_and_resolve_references()
  config.model.backbone.frozen_stages = 1
  frozen = build_detector(config.model, CLASSES)
  params = variables()['params']
  trainable = frozen.trainable(params)

  def total(params):
    losses, _ = frozen.loss(variables() | {'params': params}, make_batch(), jax.random.key(1))
    return sum(v for k, v in losses.items() if k.startswith('loss_'))

  gradients = jax.jit(jax.grad(total))(params)
  norms = jax.tree.map(lambda g: float(jnp.abs(g).sum()), gradients)
  flat_norms, flat_trainable = jax.tree.leaves(norms), jax.tree.leaves(trainable)
  assert not all(flat_trainable)
  assert all(norm == 0 for norm, trained in zip(flat_norms, flat_trainable, strict=True) if not trained)
  assert all(norm > 0 for norm, trained in zip(flat_norms, flat_trainable, strict=True) if trained)


def test_an_unknown_part_is_named():
  config = small_config().copy_and_resolve_references()
  config.model.neck.name = 'fpm'
  with pytest.raises(ValueError, match="'fpm'.*fpn"):
    build_detector(config.model, CLASSES)
