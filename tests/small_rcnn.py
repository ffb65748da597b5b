"""Two-stage systems small enough to compile in seconds, in which no draw depends on a number of rows."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize
from jaxdet.structures import Batch
from small_detector import CLASSES, make_batch, small_config

# Most of the time goes into compiling.
quick_jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})

COLOURS = np.array([[255, 40, 40], [40, 255, 40], [40, 40, 255]], np.uint8)


def small_rcnn_config(roi: Mapping[str, Any]) -> ConfigDict:
  """A small config with these RoI heads; every anchor and RoI counts."""
  config = small_config().copy_and_resolve_references()
  model = config.model
  model.roi = roi
  model.roi.pooler.canonical_size = 56
  model.roi.sampler.num = model.proposals.sampler.num = 0
  model.proposals.loss.beta = 1 / 9  # the signs of L1 may cancel
  model.proposals.train_proposals.update(pre_nms_topk=100, post_nms_topk=20)
  model.proposals.test_proposals.update(pre_nms_topk=100, post_nms_topk=20)
  model.test.update(score_threshold=0.0, pre_nms_topk=64, detections=10)
  return config


class Built(NamedTuple):
  """A detector with variables, and its compiled loss and prediction."""

  detector: Any
  variables: dict[str, Any]
  loss: Any  # (variables, batch) -> (gradients, (losses, new statistics))
  predict: Any  # (variables, batch) -> detections


def build(config: ConfigDict) -> Built:
  """Builds and initialises the detector of a config."""
  detector = build_detector(config.model, CLASSES)
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))

  def loss(variables, batch):
    def total(params):
      losses, moved = forward.loss(detector, variables | {'params': params}, batch, jax.random.key(1))
      return sum(value for name, value in losses.items() if name.startswith('loss_')), (losses, moved)

    return jax.grad(total, has_aux=True)(variables['params'])

  return Built(detector, variables, quick_jit(loss), quick_jit(functools.partial(forward.predict, detector)))


def arrays_without_gradient(gradients) -> list[str]:
  """Paths of arrays whose gradient is zero or not finite everywhere."""
  return [
    jax.tree_util.keystr(path)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients)
    if not np.isfinite(gradient).all() or np.abs(gradient).max() == 0
  ]


def with_soiled_padding(batch: Batch) -> Batch:
  """The batch with noise beside the images, and with boxes in the rows without an object."""
  valid = batch.objects.valid
  assert not valid.all()
  boxes = np.where(valid[..., None], batch.objects.boxes, np.float32([9, 18, 27, 36]))
  image = np.full_like(batch.image, 200)
  for i, (height, width) in enumerate(batch.image_size):
    image[i, :height, :width] = batch.image[i, :height, :width]
  assert (image != batch.image).any()
  return batch.replace(image=image, objects=batch.objects.replace(boxes=boxes))


def check_detections_lie_on_the_images(found, batch: Batch) -> None:
  """Valid boxes have an area and lie on their image, best first."""
  boxes, valid = np.asarray(found.boxes), np.asarray(found.valid)
  assert valid.any()
  for i, (height, width) in enumerate(batch.image_size):
    own = boxes[i][valid[i]]
    assert (own >= 0).all() and (own <= [width, height, width, height]).all()
    assert (own[:, 2:] > own[:, :2]).all()
  assert (np.diff(np.where(valid, found.scores, 0)) <= 1e-6).all()


def coloured_rectangles() -> Batch:
  """Two images of 64 x 64 pixels with two rectangles each, whose colour is their class."""
  batch = make_batch(images=2, canvas=(64, 80))
  image = np.zeros((2, 64, 64, 3), np.uint8)
  boxes, labels = np.zeros((2, 3, 4), np.float32), np.zeros((2, 3), np.int32)
  boxes[:, :2] = [[[6, 8, 28, 34], [34, 20, 60, 52]], [[4, 30, 36, 56], [38, 6, 58, 34]]]
  for i in range(2):
    for k in range(2):
      labels[i, k] = (i + k) % 3
      x1, y1, x2, y2 = boxes[i, k].astype(int)
      image[i, y1:y2, x1:x2] = COLOURS[labels[i, k]]
  sizes = np.full((2, 2), 64, np.int32)
  objects = batch.objects.replace(boxes=boxes, labels=labels, valid=np.tile([True, True, False], (2, 1)), masks=None)
  return batch.replace(image=image, objects=objects, image_size=sizes, original_size=sizes)


def check_two_images_are_learned(config: ConfigDict, steps: int, rate: float = 3e-3) -> None:
  """After some steps of Adam the two best detections of both images are its objects."""
  config.model.test.update(score_threshold=0.5, iou=0.3)
  detector, batch = build_detector(config.model, CLASSES), coloured_rectangles()
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))
  optimizer = optax.adam(rate)

  @jax.jit
  def step(params, stats, state, key):
    def total(params):
      losses, moved = forward.loss(detector, variables | {'params': params, 'batch_stats': stats}, batch, key)
      return sum(value for name, value in losses.items() if name.startswith('loss_')), moved.get('batch_stats', {})

    (loss, moved), gradient = jax.value_and_grad(total, has_aux=True)(params)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), {**stats, **moved}, state, loss

  params, stats = variables['params'], variables['batch_stats']
  state, losses = optimizer.init(params), []
  for key in jax.random.split(jax.random.key(1), steps):
    params, stats, state, loss = step(params, stats, state, key)
    losses.append(float(loss))
  assert losses[-1] < losses[0] / 5
  learned = variables | {'params': params, 'batch_stats': stats}
  found = quick_jit(functools.partial(forward.predict, detector))(learned, batch)
  for i in range(2):
    order = np.argsort(found.boxes[i, :2, 0])
    np.testing.assert_allclose(found.boxes[i, :2][order], batch.objects.boxes[i, :2], atol=3)
    assert found.labels[i, :2][order].tolist() == batch.objects.labels[i, :2].tolist()
