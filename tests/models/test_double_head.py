"""Double-Head R-CNN at a tiny size: two features of every RoI, what its losses reach, images learned by heart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.parts import roi
from jaxdet.models.box_stages.double import resized
from jaxdet.models.build import build_detector
from learned_by_heart import quick_jit
from small_detector import CLASSES, make_batch
from small_rcnn import (
  arrays_without_gradient,
  build,
  check_detections_lie_on_the_images,
  check_two_images_are_learned,
  small_rcnn_config,
  with_soiled_padding,
)


def small_double_config(norm: str = 'sync_bn'):
  head = {**roi.double_box_head(), 'num_convs': 1, 'conv_channels': 32, 'channels': 32, 'norm': norm}
  settings = roi.mmdet(box_head=head, beta=1.0, loss_weight=2.0)
  return small_rcnn_config({**settings, 'stage': 'double', 'box_scale': 1.3})


@functools.cache
def built():
  return build(small_double_config())


def test_losses_are_finite_and_reach_every_array():
  _, variables, loss, _ = built()
  gradients, (losses, moved) = loss(variables, make_batch())
  assert all(np.isfinite(x) for x in losses.values())
  assert arrays_without_gradient(gradients) == []
  statistics = moved['batch_stats']['box_head']
  assert {'conv1_norm', 'conv2_norm', 'shortcut_norm'} == set(statistics['widening'])


def test_padding_changes_no_loss_and_no_detection():
  _, variables, loss, predict = built()
  batch = make_batch(objects=5)
  soiled = with_soiled_padding(batch)
  _, (losses, _) = loss(variables, batch)
  _, (same, _) = loss(variables, soiled)
  for name, value in losses.items():
    np.testing.assert_allclose(same[name], value, rtol=1e-5, err_msg=name)
  found = predict(variables, batch)
  check_detections_lie_on_the_images(found, batch)
  jax.tree.map(np.testing.assert_array_equal, found, predict(variables, soiled))


class Steps:
  """Answers a stage's calls: runs steps as they are."""

  def step(self, name, function, *args, gradient):
    return function(*args)


def test_boxes_see_a_larger_part_of_the_level_that_classes_see():
  [stage] = built().detector.stages
  # Two channels: the level's number, and x in pixels.
  pyramid = {}
  for level in (2, 3, 4, 5):
    x = jnp.broadcast_to(2**level * (jnp.arange(128 >> level) + 0.5), (128 >> level, 128 >> level))
    pyramid[level] = jnp.stack([jnp.full_like(x, level), x], -1)[None]
  sides = jnp.float32([14, 27, 28, 55, 56, 57])  # 28 and 56 are the least of a level
  centres = jnp.full((6, 2), 64.0)
  rois = jnp.concatenate([centres - sides[:, None] / 2, centres + sides[:, None] / 2], -1)[None]
  for_classes, for_boxes = quick_jit(functools.partial(stage.features, Steps()))(pyramid, rois)
  np.testing.assert_array_equal(for_classes[0, :, 3, 3, 0], [2, 2, 3, 3, 4, 4])
  np.testing.assert_array_equal(for_boxes[0, :, 3, 3, 0], [2, 2, 3, 3, 4, 4])
  for features, scale in ((for_classes, 1.0), (for_boxes, 1.3)):
    x = features[0, :, 3, :, 1]
    np.testing.assert_allclose(x[:, -1] - x[:, 0], scale * sides * 6 / 7, rtol=1e-4)
    np.testing.assert_allclose(x[:, 3], 64, rtol=1e-4)


def test_a_resized_box_keeps_its_centre_and_may_leave_the_image():
  np.testing.assert_allclose(resized(jnp.float32([[10, 20, 30, 24], [0, 0, 10, 10]]), 1.5)[0], [5, 19, 35, 25])
  np.testing.assert_allclose(resized(jnp.float32([0, 0, 10, 10]), 1.3), [-1.5, -1.5, 11.5, 11.5], atol=1e-6)


def test_classes_come_from_the_one_feature_and_boxes_from_the_other():
  detector, variables, *_ = built()
  head = detector.networks['box_head']
  own = {name: tree['box_head'] for name, tree in variables.items() if 'box_head' in tree}
  one, other = jax.random.normal(jax.random.key(0), (2, 1, 3, 7, 7, 16))
  logits, deltas = head.apply(own, (one, other))
  assert logits.shape == (1, 3, CLASSES + 1) and deltas.shape == (1, 3, CLASSES, 4)
  np.testing.assert_array_equal(head.apply(own, (one, one))[0], logits)
  np.testing.assert_array_equal(head.apply(own, (other, other))[1], deltas)
  assert np.abs(head.apply(own, (other, one))[0] - logits).max() > 1e-3


def test_features_that_cannot_be_pooled_twice_are_refused():
  model = small_double_config().model
  model.roi.pooler = {**model.roi.pooler, 'name': 'deformable', 'version': 'v2'}
  with pytest.raises(ValueError, match="the stage 'double' pools features of a pyramid twice"):
    build_detector(model, CLASSES)


def test_the_weight_of_the_class_loss():
  detector, variables, *_ = built()
  config = small_double_config()
  config.model.roi.class_loss = {'name': 'cross_entropy', 'weight': 2.0}
  [stage] = detector.stages
  [weighted] = build_detector(config.model, CLASSES).stages
  logits = jax.random.normal(jax.random.key(0), (1, 4, CLASSES + 1))
  labels, valid = jnp.array([[0, 3, CLASSES, 1]]), jnp.array([[True, True, True, False]])
  once, twice = (each.class_loss.loss(logits, labels, valid, None, {})[0] for each in (stage, weighted))
  np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)


@pytest.mark.slow
def test_two_images_are_learned_by_heart():
  check_two_images_are_learned(small_double_config('gn'), steps=150)
