"""Two-stage systems small enough to compile in seconds, in which no draw depends on a number of rows."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize
from jaxdet.structures import Batch
from learned_by_heart import check_best_two_to_pixels, coloured_rectangles, learn, quick_jit
from small_detector import CLASSES, small_config


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


def check_two_images_are_learned(config: ConfigDict, steps: int, rate: float = 3e-3) -> None:
  """After some steps of Adam the two best detections of both images are its objects."""
  config.model.test.update(score_threshold=0.5, iou=0.3)
  detector, batch = build_detector(config.model, CLASSES), coloured_rectangles()
  variables, losses = learn(detector, batch, steps, rate)
  assert losses[-1] < losses[0] / 5
  check_best_two_to_pixels(quick_jit(functools.partial(forward.predict, detector))(variables, batch), batch)
