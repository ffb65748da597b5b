"""Images that a small detector learns by heart in a few seconds, and the learning."""

import functools

import jax
import numpy as np
import optax

from jaxdet.models import forward
from jaxdet.models.initialize import initialize
from jaxdet.ops.iou import iou
from jaxdet.structures import Batch, Detections, InstanceMasks
from small_detector import make_batch

# Most of the time goes into compiling.
quick_jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})

COLOURS = np.array([[255, 40, 40], [40, 255, 40], [40, 40, 255]], np.uint8)


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
  masks = InstanceMasks(np.full((2, 3, 16, 2), 255, np.uint8), boxes)
  objects = batch.objects.replace(boxes=boxes, labels=labels, valid=np.tile([True, True, False], (2, 1)), masks=masks)
  return batch.replace(image=image, objects=objects, image_size=sizes, original_size=sizes)


def learn(
  detector: forward.Detector, batch: Batch, steps: int, rate: float = 3e-3
) -> tuple[forward.Variables, list[float]]:
  """The detector's variables after `steps` steps of Adam on the same batch, and the loss before each of them."""
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
  return variables | {'params': params, 'batch_stats': stats}, losses


def check_best_two(found: Detections, batch: Batch, least_iou: float = 0.7) -> None:
  """The best two detections of every image are its two rectangles, with their classes."""
  for boxes, expected in zip(_best_two(found, batch), batch.objects.boxes, strict=True):
    assert np.min(iou(boxes, expected[:2])) > least_iou


def check_best_two_to_pixels(found: Detections, batch: Batch, pixels: float = 3) -> None:
  """As `check_best_two`; no side is farther than `pixels` from its place."""
  for boxes, expected in zip(_best_two(found, batch), batch.objects.boxes, strict=True):
    np.testing.assert_allclose(boxes, expected[:2], atol=pixels)


def _best_two(found: Detections, batch: Batch) -> list[np.ndarray]:
  """Boxes [2, 4] of the best two detections of every image, from left to right, whose classes must be right."""
  boxes = []
  for i in range(len(batch.image)):
    order = np.argsort(found.boxes[i, :2, 0])
    assert found.labels[i, :2][order].tolist() == batch.objects.labels[i, :2].tolist()
    boxes.append(np.asarray(found.boxes[i, :2])[order])
  return boxes
