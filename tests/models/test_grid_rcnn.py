"""Grid R-CNN at a tiny size: what its losses reach, what padding changes, its boxes, and images learned by heart."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.parts import roi
from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize
from jaxdet.models.roi_tasks.grid_points import GRID_HEAD, GridPointsTask, grid_loss, jittered
from jaxdet.ops.grid_points import grid_targets
from jaxdet.structures import Detections
from learned_by_heart import check_best_two_to_pixels, coloured_rectangles, learn, quick_jit
from small_detector import CLASSES, make_batch, small_config, with_valid


def small_grid_config():
  """Few channels; every anchor and region counts, so that what is drawn depends on no number of rows."""
  config = small_config().copy_and_resolve_references()
  box_head = {**roi.box_head(box_regression=False), 'channels': 32}
  grid_head = roi.grid_head() | {'num_convs': 2, 'point_channels': 4, 'norm_groups': 18, 'roi_size': 6}
  config.model.roi = roi.mmdet(box_head=box_head, grid_head=grid_head)
  config.model.roi.pooler.canonical_size = 56
  config.model.roi.grid_points.update(jitter=0.0, max_rois=0, clip=True)
  config.model.roi.sampler.num = config.model.proposals.sampler.num = 0
  config.model.proposals.loss.beta = 1 / 9  # the signs of L1 may cancel
  config.model.proposals.train_proposals.update(pre_nms_topk=100, post_nms_topk=20)
  config.model.proposals.test_proposals.update(pre_nms_topk=100, post_nms_topk=20)
  config.model.test.update(score_threshold=0.0, pre_nms_topk=64, detections=10)
  return config


def padded_batch():
  """Two images with three objects each and room for two more."""
  return make_batch(objects=5)


@functools.cache
def built():
  """(detector, variables, jitted gradient of the loss, jitted predict)."""
  detector = build_detector(small_grid_config().model, CLASSES)
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))

  def total(params, batch):
    losses, _ = forward.loss(detector, variables | {'params': params}, batch, jax.random.key(1))
    return sum(value for name, value in losses.items() if name.startswith('loss_')), losses

  predict = quick_jit(functools.partial(forward.predict, detector))
  return detector, variables, quick_jit(jax.grad(total, has_aux=True)), predict


def test_losses_are_finite_and_reach_every_array():
  _, variables, loss, _ = built()
  gradients, losses = loss(variables['params'], padded_batch())
  names = {name for name in losses if name.startswith('loss_')}
  assert names == {'loss_rpn_objectness', 'loss_rpn_box', 'loss_class', 'loss_grid'}
  assert all(np.isfinite(losses[name]) and losses[name] > 0 for name in names)
  for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, path


def test_points_begin_rare():
  _, variables, *_ = built()
  bias = variables['params']['grid_head']['deconv1']['bias']
  np.testing.assert_allclose(jax.nn.sigmoid(bias), 0.01, rtol=1e-5)


def test_rows_that_hold_no_object_change_no_loss():
  _, variables, loss, _ = built()
  batch = padded_batch()
  objects = batch.objects
  soiled = objects.replace(boxes=np.where(objects.valid[..., None], objects.boxes, np.float32([9, 18, 27, 36])))
  assert (soiled.boxes != objects.boxes).any()
  _, losses = loss(variables['params'], batch)
  _, same = loss(variables['params'], batch.replace(objects=soiled))
  for name, value in losses.items():
    np.testing.assert_allclose(same[name], value, rtol=1e-5, err_msg=name)


def test_an_image_without_objects_has_no_grid_loss():
  _, variables, loss, _ = built()
  batch = padded_batch()
  gradients, losses = loss(variables['params'], with_valid(batch, np.zeros_like(batch.objects.valid)))
  assert losses['loss_grid'] == 0 and losses['loss_class'] > 0
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_detections_lie_on_the_image_best_first_and_padding_changes_nothing():
  _, variables, _, predict = built()
  batch = make_batch()
  found = predict(variables, batch)
  boxes, valid = np.asarray(found.boxes), np.asarray(found.valid)
  assert valid.any() and found.masks is None
  assert (boxes[valid] >= 0).all() and (boxes[valid] <= [80, 56, 80, 56]).all()
  assert (boxes[valid][:, 2:] > boxes[valid][:, :2]).all()
  assert (np.diff(np.where(valid, found.scores, 0)) <= 1e-6).all()
  soiled = np.full_like(batch.image, 200)
  soiled[:, :56, :80] = batch.image[:, :56, :80]
  jax.tree.map(np.testing.assert_array_equal, found, predict(variables, batch.replace(image=soiled)))


class Heads:
  """Answers a task's calls: heat maps that are given, steps as they are."""

  def __init__(self, logits):
    self.logits, self.seen = logits, None

  def on_valid_rows(self, network, valid, pooled):
    assert network == GRID_HEAD
    self.seen = pooled
    return self.logits

  def step(self, name, function, *args, gradient):
    return function(*args)


def small_task(**settings) -> GridPointsTask:
  settings = FrozenConfigDict(roi.grid_points() | settings)
  return GridPointsTask(settings, {}, pooler=lambda call, pyramid, boxes: boxes, grid_size=3, count=None)


@pytest.mark.parametrize('clip', [False, True])
def test_boxes_are_where_the_points_are_and_clipped_if_asked(clip):
  rois = jnp.float32([[[20, 10, 60, 50], [0, 0, 40, 40], [0, 0, 0, 0]]])
  truth = jnp.float32([[[15, 10, 60, 44], [-8, 2, 30, 57], [0, 0, 0, 0]]])
  logits = 20 * grid_targets(rois, truth, 3, 28, 0)[:, :, None] - 10
  valid = jnp.array([[True, True, False]])
  scores, labels = jnp.float32([[0.9, 0.8, 0.0]]), jnp.array([[1, 2, 0]])
  before = Detections(rois, scores, labels, valid, None, jnp.zeros(1, bool))

  @quick_jit
  def predict(before):
    call = Heads(logits)
    return small_task(clip=clip).predict(call, {}, None, before, jnp.array([[56, 80]])), call.seen

  after, seen = predict(before)
  np.testing.assert_array_equal(seen, rois)
  expected = jnp.clip(truth, 0, jnp.float32([80, 56, 80, 56])) if clip else truth
  np.testing.assert_allclose(after.boxes, expected, atol=0.75)  # half a cell
  assert clip == bool((after.boxes >= 0).all())
  assert not after.boxes[0, 2].any()
  jax.tree.map(np.testing.assert_array_equal, dataclasses.replace(after, boxes=rois), before)


def test_the_loss_by_hand():
  rng = np.random.default_rng(0)
  rois, gt_boxes = make_batch().objects.boxes + np.float32([0, 0, 4, 2]), make_batch().objects.boxes
  logits = rng.normal(size=(2, 3, 2, 8, 8, 9)).astype(np.float32)
  positive = np.array([[True, True, False], [True, False, False]])
  targets = np.asarray(grid_targets(rois, gt_boxes, 3, 8, 1))[:, :, None]
  each = np.logaddexp(0, logits) - targets * logits
  expected = sum(each[positive][:, form].mean() for form in range(2))
  np.testing.assert_allclose(grid_loss(logits, rois, gt_boxes, positive, 3, 1), expected, rtol=1e-5)


def test_regions_are_moved_by_at_most_a_share_of_their_sides_and_stay_on_the_image():
  rois = jnp.tile(jnp.float32([[30, 20, 50, 40]]), (500, 1))
  size = jnp.array([56, 80])
  moved = jittered(rois, size, jax.random.key(0), 0.15)
  sides, centres = moved[:, 2:] - moved[:, :2], (moved[:, 2:] + moved[:, :2]) / 2
  for change in (sides / 20 - 1, (centres - jnp.array([40, 30])) / 20):
    assert 0.13 < np.abs(change).max() <= 0.15 + 1e-6 and np.abs(change.mean(0)).max() < 0.02
  np.testing.assert_array_equal(jittered(rois, size, jax.random.key(0), 0.0), rois)
  whole = jittered(jnp.tile(jnp.float32([[0, 0, 80, 56]]), (50, 1)), size, jax.random.key(1), 0.15)
  assert (whole >= 0).all() and (whole.max(0) == jnp.array([whole[:, 0].max(), whole[:, 1].max(), 79, 55])).all()


def test_so_many_positives_an_image_are_trained_on():
  model = small_grid_config().model
  counts = []
  for num, most in ((512, 96), (512, 0), (100, 96), (0, 96), (0, 0)):
    model.roi.sampler.num, model.roi.grid_points.max_rois = num, most
    counts.append(build_detector(model, CLASSES).tasks[0].count)
  assert counts == [96, 128, 25, 96, None]


def test_grid_points_are_of_one_box_stage():
  model = small_grid_config().model
  model.roi.box_head.update(box_regression=True, class_agnostic=True)
  model.roi.cascade = roi.mmdet_cascade()
  with pytest.raises(ValueError, match='grid points belong to one box stage'):
    build_detector(model, CLASSES)


@pytest.mark.slow
def test_two_images_are_learned_by_heart():
  config = small_grid_config()
  config.model.roi.grid_points.jitter = 0.15
  config.model.test.update(score_threshold=0.5, iou=0.3)
  detector = build_detector(config.model, CLASSES)
  batch = coloured_rectangles()
  variables, losses = learn(detector, batch, steps=150)
  assert losses[-1] < losses[0] / 5
  check_best_two_to_pixels(quick_jit(functools.partial(forward.predict, detector))(variables, batch), batch)
