"""YOLACT at a tiny size: what its losses reach, what padding changes, its masks, and images learned by heart."""

import functools

import jax
import numpy as np
import optax
import pytest

from jaxdet.models import forward
from jaxdet.models.initialize import initialize
from jaxdet.ops.image_masks import image_mask_window
from jaxdet.structures import ImageMasks, InstanceMasks, Objects
from small_dense import small_dense_config, small_dense_detector
from small_detector import make_batch, with_valid

# Most of the time goes into compiling.
quick_jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


def small_config():
  """With so many negatives that anchors of every level count."""
  config = small_dense_config('yolact').copy_and_resolve_references()
  config.model.head.negatives = 1000
  return config


@functools.cache
def built():
  """(detector, variables, jitted gradient of the loss, jitted predict)."""
  detector = small_dense_detector(small_config())
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))

  def total(params, batch):
    losses, _ = forward.loss(detector, variables | {'params': params}, batch, jax.random.key(1))
    return sum(losses.values()), losses

  predict = quick_jit(functools.partial(forward.predict, detector))
  return detector, variables, quick_jit(jax.grad(total, has_aux=True)), predict


def test_losses_are_finite_and_reach_every_array():
  _, variables, loss, _ = built()
  gradients, losses = loss(variables['params'], make_batch())
  assert set(losses) == {'loss_class', 'loss_box', 'loss_mask', 'loss_semantic'}
  assert all(np.isfinite(v) and v > 0 for v in losses.values())
  for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, path


def test_room_for_more_objects_changes_no_loss():
  _, variables, loss, _ = built()
  _, losses = loss(variables['params'], make_batch())
  _, more = loss(variables['params'], make_batch(objects=5))
  for name, value in losses.items():
    np.testing.assert_allclose(more[name], value, rtol=1e-5, err_msg=name)


def test_an_image_without_objects_has_a_class_loss_alone():
  _, variables, loss, _ = built()
  batch = make_batch()
  gradients, losses = loss(variables['params'], with_valid(batch, np.zeros_like(batch.objects.valid)))
  assert losses['loss_class'] > 0
  assert losses['loss_box'] == losses['loss_mask'] == losses['loss_semantic'] == 0
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_ground_truth_without_masks_is_refused():
  detector, variables, *_ = built()
  batch = make_batch()
  batch = batch.replace(objects=batch.objects.replace(masks=None))
  with pytest.raises(ValueError, match='data.mask_size'):
    jax.eval_shape(lambda: forward.loss(detector, variables, batch, jax.random.key(1)))


def test_detections_lie_on_the_image_best_first_with_masks_over_the_canvas():
  _, variables, _, predict = built()
  found = predict(variables, make_batch())
  boxes, valid = np.asarray(found.boxes), np.asarray(found.valid)
  assert valid.any() and not found.incomplete.any()
  assert (boxes[valid] >= 0).all() and (boxes[valid] <= [80, 56, 80, 56]).all()
  assert (np.diff(np.where(valid, found.scores, 0)) <= 1e-6).all()
  assert isinstance(found.masks, ImageMasks)
  assert found.masks.probabilities.shape == (2, 20, 16, 24)  # a cell is four pixels of the canvas


def test_only_so_many_positives_train_masks():
  config, losses = small_config(), []
  for positives in (1, 100):
    config.model.head.masks.positives = positives
    detector, variables = small_dense_detector(config), built()[1]
    losses.append(
      [
        quick_jit(functools.partial(forward.loss, detector))(variables, make_batch(), key)[0]['loss_mask']
        for key in jax.random.split(jax.random.key(0), 2)
      ]
    )
  assert losses[0][0] != losses[0][1]  # drawn anew
  np.testing.assert_allclose(losses[1][0], losses[1][1], rtol=1e-6)  # all of them


def test_anchors_lie_in_the_middle_of_their_own_strides():
  method = built()[0].method
  anchors = method.anchors(
    {'logits': {3: np.zeros((1, 2, 3, 3, 6)), 4: np.zeros((1, 1, 1, 3, 6)), 5: np.zeros((1, 1, 1, 3, 6))}}
  )
  centres = (anchors[3][:, :2] + anchors[3][:, 2:]).reshape(2, 3, 3, 2) / 2
  np.testing.assert_allclose(centres[1, 2, 0], [2.5 * 550 / 69, 1.5 * 550 / 69], rtol=1e-5)
  np.testing.assert_allclose(np.prod(anchors[4][:, 2:] - anchors[4][:, :2], axis=-1), 48.0**2, rtol=1e-5)


COLOURS = np.array([[255, 40, 40], [40, 255, 40], [40, 40, 255]], np.uint8)


def coloured_discs():
  """Two images of 64 x 64 pixels with two discs each, whose colour is their class; and their pixels."""
  batch = make_batch(images=2)
  image, boxes = np.zeros((2, 64, 64, 3), np.uint8), np.zeros((2, 3, 4), np.float32)
  labels, bits = np.zeros((2, 3), np.int32), np.zeros((2, 3, 32, 32), np.uint8)
  y, x = np.mgrid[:64, :64] + 0.5
  for i, discs in enumerate((((16, 20, 11), (46, 40, 14)), ((18, 44, 14), (46, 18, 12)))):
    for k, (centre_x, centre_y, radius) in enumerate(discs):
      boxes[i, k] = [centre_x - radius, centre_y - radius, centre_x + radius, centre_y + radius]
      labels[i, k] = (i + k) % 3
      disc = np.hypot(x - centre_x, y - centre_y) < radius
      image[i][disc] = COLOURS[labels[i, k]]
      left, top = boxes[i, k, :2].astype(int)
      bits[i, k, : 2 * radius, : 2 * radius] = disc[top : top + 2 * radius, left : left + 2 * radius]
  windows = np.concatenate([boxes[..., :2], boxes[..., :2] + 32], -1) * (boxes.any(-1, keepdims=True))
  valid = np.tile([True, True, False], (2, 1))
  masks = InstanceMasks(np.packbits(bits, axis=-1), windows)
  sizes = np.full((2, 2), 64, np.int32)
  objects = Objects(boxes, labels, valid, masks)
  return batch.replace(image=image, objects=objects, image_size=sizes, original_size=sizes), image.any(-1)


def test_two_images_are_learned_by_heart():
  detector = small_dense_detector(small_config())
  batch, pixels = coloured_discs()
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))
  optimizer = optax.adam(3e-3)

  @quick_jit
  def step(params, state, key):
    def total(params):
      return sum(forward.loss(detector, variables | {'params': params}, batch, key)[0].values())

    loss, gradient = jax.value_and_grad(total)(params)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), state, loss

  params, state, losses = variables['params'], optimizer.init(variables['params']), []
  for key in jax.random.split(jax.random.key(1), 200):
    params, state, loss = step(params, state, key)
    losses.append(float(loss))
  assert losses[-1] < losses[0] / 10
  found = quick_jit(functools.partial(forward.predict, detector))(variables | {'params': params}, batch)
  for i in range(2):
    order = np.argsort(found.boxes[i, :2, 0])
    np.testing.assert_allclose(found.boxes[i, :2][order], batch.objects.boxes[i, :2], atol=4)
    assert found.labels[i, :2][order].tolist() == batch.objects.labels[i, :2].tolist()
    union = np.zeros((64, 64), bool)
    for k in range(2):
      mask, box = np.asarray(found.masks.probabilities[i, k]), np.asarray(found.boxes[i, k])
      window, (y, x) = image_mask_window(mask, box, (64, 64), 64, 64)
      union[y : y + window.shape[0], x : x + window.shape[1]] |= window
    assert (union & pixels[i]).sum() / (union | pixels[i]).sum() > 0.8
