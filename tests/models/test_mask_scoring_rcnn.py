"""Mask Scoring R-CNN at a tiny size: what its losses reach, its targets, its scores, and images learned by heart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.parts import roi
from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize
from jaxdet.models.roi_targets import RoITargets
from jaxdet.models.roi_tasks.mask_scoring import best_first, mask_ious, mask_losses
from jaxdet.structures import BoxMasks, Detections
from learned_by_heart import check_best_two, coloured_rectangles, learn, quick_jit
from small_detector import CLASSES, make_batch, small_config, with_valid


def small_scoring_config():
  """Few channels; every anchor and RoI counts, so that what is drawn depends on no number of rows."""
  config = small_config().copy_and_resolve_references()
  box_head = {**roi.box_head(), 'channels': 32}
  mask_head = {**roi.mask_head(num_convs=1), 'channels': 16, 'roi_size': 6}
  mask_iou_head = {**roi.mask_iou_head(), 'num_convs': 2, 'conv_channels': 16, 'num_fcs': 1, 'channels': 32}
  config.model.roi = roi.mmdet(box_head=box_head, mask_head=mask_head, mask_iou_head=mask_iou_head, beta=1.0)
  config.model.roi.pooler.canonical_size = 56
  config.model.roi.mask_scoring.logit_threshold = -1.0  # a network at its beginning has no mask otherwise
  config.model.roi.sampler.num = config.model.proposals.sampler.num = 0
  config.model.proposals.loss.beta = 1 / 9  # the signs of L1 may cancel
  config.model.proposals.train_proposals.update(pre_nms_topk=100, post_nms_topk=20)
  config.model.proposals.test_proposals.update(pre_nms_topk=100, post_nms_topk=20)
  config.model.test.update(score_threshold=0.0, pre_nms_topk=64, detections=10)
  return config


@functools.cache
def built():
  """(variables, jitted gradient of the loss, jitted predict)."""
  detector = build_detector(small_scoring_config().model, CLASSES)
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))

  def total(params, batch):
    losses, _ = forward.loss(detector, variables | {'params': params}, batch, jax.random.key(1))
    return sum(value for name, value in losses.items() if name.startswith('loss_')), losses

  predict = quick_jit(functools.partial(forward.predict, detector))
  return variables, quick_jit(jax.grad(total, has_aux=True)), predict


def test_losses_are_finite_and_reach_every_array():
  variables, loss, _ = built()
  gradients, losses = loss(variables['params'], make_batch(objects=5))
  names = {name for name in losses if name.startswith('loss_')}
  assert names == {'loss_rpn_objectness', 'loss_rpn_box', 'loss_class', 'loss_box', 'loss_mask', 'loss_mask_iou'}
  assert all(np.isfinite(losses[name]) and losses[name] > 0 for name in names)
  for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, path


def test_rows_that_hold_no_object_change_no_loss():
  variables, loss, _ = built()
  batch = make_batch(objects=5)
  objects = batch.objects
  soiled = objects.replace(boxes=np.where(objects.valid[..., None], objects.boxes, np.float32([9, 18, 27, 36])))
  assert (soiled.boxes != objects.boxes).any()
  _, losses = loss(variables['params'], batch)
  _, same = loss(variables['params'], batch.replace(objects=soiled))
  for name, value in losses.items():
    np.testing.assert_allclose(same[name], value, rtol=1e-5, err_msg=name)


def test_an_image_without_objects_has_no_mask_losses():
  variables, loss, _ = built()
  batch = make_batch(objects=5)
  gradients, losses = loss(variables['params'], with_valid(batch, np.zeros_like(batch.objects.valid)))
  assert losses['loss_mask'] == losses['loss_mask_iou'] == 0 and losses['loss_class'] > 0
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_detections_lie_on_the_image_best_first_and_padding_changes_nothing():
  variables, _, predict = built()
  batch = make_batch(objects=5)
  found = predict(variables, batch)
  boxes, valid = np.asarray(found.boxes), np.asarray(found.valid)
  assert valid.any() and found.masks.probabilities.shape == (2, 10, 12, 12)
  assert (boxes[valid] >= 0).all() and (boxes[valid] <= [80, 56, 80, 56]).all()
  assert all((np.diff(scores[mask]) <= 0).all() for scores, mask in zip(np.asarray(found.scores), valid, strict=True))
  soiled = np.full_like(batch.image, 200)
  soiled[:, :56, :80] = batch.image[:, :56, :80]
  jax.tree.map(np.testing.assert_array_equal, found, predict(variables, batch.replace(image=soiled)))


def test_the_iou_is_that_with_the_whole_object():
  """The RoI has 4 x 4 cells. Its upper half is predicted, the object is its left half and as much outside."""
  predicted, wanted = np.zeros((1, 3, 4, 4), bool), np.zeros((1, 3, 4, 4), np.float32)
  predicted[0, :2, :2] = True
  wanted[0, 0, :, :2] = 1
  found = mask_ious(predicted, wanted, np.float32([[0.5, 0, 0]]))
  np.testing.assert_allclose(found, [[4 / (8 + 16 - 4), 0, 0]], rtol=1e-5)  # the last one: neither


def test_the_squared_error_is_a_mean_over_positives_with_an_overlap():
  boxes = make_batch().objects.boxes
  positive = np.array([[True, True, False], [True, False, False]])
  index = np.tile(np.arange(3), (2, 1))
  rois = RoITargets(boxes, index, index, positive, np.zeros((2, 3), bool), positive)
  logits = np.full((2, 3, 4, 4), 3.0, np.float32)
  logits[0, 1] = 0.4  # below the threshold: no mask, no IoU
  logits[1, 0, :2] = 0.4  # half of the object
  ious = np.float32([[0.7, 0.9, 0.2], [0.1, 0.3, 0.4]])
  losses = quick_jit(functools.partial(mask_losses, threshold=0.5))
  loss_mask, loss_iou = losses(logits, ious, rois, make_batch())
  np.testing.assert_allclose(loss_iou, ((0.7 - 1) ** 2 + (0.1 - 0.5) ** 2) / 2, rtol=1e-5)
  each = np.logaddexp(0, -logits).mean((2, 3))
  np.testing.assert_allclose(loss_mask, each[positive].mean(), rtol=1e-5)


def test_detections_are_sorted_with_all_they_have_and_padding_stays_last():
  scores, valid = jnp.float32([0.1, 0.5, -0.2, 0.0]), jnp.array([True, True, True, False])
  masks = BoxMasks(jnp.arange(4.0)[:, None, None])
  found = Detections(jnp.tile(jnp.arange(4.0)[:, None], (1, 4)), scores, jnp.arange(4), valid, masks, jnp.array(True))
  after = best_first(found)
  for rows in (after.labels, after.boxes[:, 0], after.masks.probabilities[:, 0, 0]):
    assert rows.tolist() == [1, 0, 2, 3]
  assert after.valid.tolist() == [True, True, True, False] and bool(after.incomplete)
  np.testing.assert_array_equal(after.scores, np.float32([0.5, 0.1, -0.2, 0.0]))


def test_mask_scoring_is_of_one_box_stage():
  model = small_scoring_config().model
  model.roi.box_head.class_agnostic = True
  model.roi.cascade = roi.mmdet_cascade()
  with pytest.raises(ValueError, match='mask scoring belongs to one box stage'):
    build_detector(model, CLASSES)


@pytest.mark.slow
def test_two_images_are_learned_by_heart():
  config = small_scoring_config()
  config.model.roi.mask_scoring.logit_threshold = 0.5
  detector, batch = build_detector(config.model, CLASSES), coloured_rectangles()
  variables, losses = learn(detector, batch, steps=150)
  assert losses[-1] < losses[0] / 5
  found = quick_jit(functools.partial(forward.predict, detector))(variables, batch)
  check_best_two(found, batch)
  assert (found.masks.probabilities[:, :2] > 0.5).mean() > 0.8 and found.scores[:, :2].min() > 0.5
