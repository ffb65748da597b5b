"""RoI targets, mask loss, refinement and detections on RoIs given by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.parts import detections
from jaxdet.models.box_stages.outputs import BoxOutputs
from jaxdet.models.build import build_detector
from jaxdet.models.roi_detections import detect
from jaxdet.models.roi_targets import RoITargets, label_and_sample
from jaxdet.models.roi_tasks.mask import mask_loss
from jaxdet.structures import Proposals
from small_detector import CLASSES, make_batch, small_config


def regions_on_objects(batch):
  """Every object's own box as a positive region."""
  boxes, valid = jnp.asarray(batch.objects.boxes), jnp.asarray(batch.objects.valid)
  gt_index = jnp.tile(jnp.arange(boxes.shape[1]), (len(boxes), 1))
  return RoITargets(boxes, jnp.asarray(batch.objects.labels), gt_index, valid, ~valid, valid)


def test_outlines_take_the_place_of_bits_where_an_object_has_one():
  batch = make_batch()
  regions = regions_on_objects(batch)
  logits = jax.random.normal(jax.random.key(0), (2, 3, 14, 14))
  outlines = np.zeros((2, 3, 8, 2), np.float32)
  parts = np.full((2, 3, 8), -1, np.int8)

  def loss(outlines, parts):
    masks = batch.objects.masks.replace(outlines=outlines, outline_parts=parts)
    return mask_loss(logits, regions, batch.replace(objects=batch.objects.replace(masks=masks)))

  full = (jnp.logaddexp(0, logits) - logits).mean()  # objects fill their boxes
  np.testing.assert_allclose(mask_loss(logits, regions, batch), full, rtol=1e-5)
  np.testing.assert_allclose(loss(outlines, parts), full, rtol=1e-5)

  # The left half of every box, but of one image's objects no outline.
  x1, y1, x2, y2 = np.moveaxis(batch.objects.boxes, -1, 0)
  middle = (x1 + x2) / 2
  ring = ((x1, y1), (middle, y1), (middle, y2), (x1, y2), (x1, y1))
  outlines[:, :, :5] = np.stack([np.stack(corner, -1) for corner in ring], 2)
  parts[0, :, :5] = 0
  halves = logits[0].at[:, :, 7:].multiply(-1)  # a cell that is outside counts as one inside with the opposite logit
  half = (jnp.logaddexp(0, halves) - halves).mean()
  rest = (jnp.logaddexp(0, logits[1]) - logits[1]).mean()
  np.testing.assert_allclose(loss(outlines, parts), (half + rest) / 2, rtol=1e-5)


def stage(resample: bool):
  """The box stage of a small detector, as the first of a cascade."""
  [only] = build_detector(small_config().model, CLASSES).stages
  settings = {**only.settings.to_dict(), 'cascade': {'resample': resample}}
  return dataclasses.replace(only, settings=FrozenConfigDict(settings))


def test_the_next_stage_of_a_cascade_gets_boxes_moved_by_their_own_class():
  regions = RoITargets(
    boxes=jnp.array([[[0.0, 0, 10, 10], [20, 20, 40, 40], [5, 5, 9, 9], [0, 0, 0, 0]]]),
    labels=jnp.array([[1, CLASSES, 2, CLASSES]]),
    gt_index=jnp.zeros((1, 4), jnp.int32),
    positive=jnp.array([[True, False, True, False]]),
    is_gt_box=jnp.array([[False, False, True, False]]),
    valid=jnp.array([[True, True, True, False]]),
  )
  logits = jnp.zeros((1, 4, CLASSES + 1)).at[:, :, 0].set(1.0)
  shift = 10.0 * jnp.arange(CLASSES)  # class k moves by k times the width
  deltas = jnp.zeros((1, 4, CLASSES, 4)).at[..., 0].set(shift)
  size = jnp.array([[50, 50]])
  anew = stage(True).refined_proposals(BoxOutputs(logits, deltas), regions, size)
  # The first has label 1; the second is background, and class 0 is its likeliest; the third was an object's own box.
  np.testing.assert_allclose(anew.boxes[0, :2], [[10, 0, 20, 10], [20, 20, 40, 40]])
  np.testing.assert_array_equal(anew.valid, [[True, True, False, False]])
  kept = stage(False).refined_proposals(BoxOutputs(logits, deltas), regions, size)
  np.testing.assert_array_equal(kept.valid, [[True, True, True, False]])
  far = BoxOutputs(logits, deltas + jnp.array([100.0, 0, 0, 0]))
  outside = stage(False).refined_proposals(far, regions, size)
  assert not outside.valid.any()


def test_ground_truth_of_any_kind_is_gathered_by_one_index():
  batch = make_batch()
  rois = regions_on_objects(batch)
  rois = rois.replace(gt_index=rois.gt_index[:, ::-1]).leading(2)
  gt = rois.gt(batch.objects)
  np.testing.assert_array_equal(gt.boxes, batch.objects.boxes[:, :0:-1])
  np.testing.assert_array_equal(gt.masks.windows, batch.objects.masks.windows[:, :0:-1])


@pytest.mark.parametrize('role, name', [('matcher', 'max_iuo'), ('sampler', 'randm')])
def test_a_misspelt_matcher_or_sampler_is_named(role, name):
  roi = small_config().model.roi.to_dict()
  roi[role]['name'] = name
  batch = make_batch()
  proposals = Proposals(batch.objects.boxes, np.zeros((2, 3)), batch.objects.valid)
  keys = jax.random.split(jax.random.key(0), 2)
  with pytest.raises(ValueError, match=f"unknown {role} '{name}'; the nearest is"):
    label_and_sample(proposals, batch.objects, keys, CLASSES, roi['matcher'], roi['sampler'], add_ground_truth=True)


def test_added_objects_are_marked():
  batch = make_batch()
  roi = small_config().model.roi
  proposals = Proposals(jnp.asarray(batch.objects.boxes[:, :2]), jnp.zeros((2, 2)), jnp.ones((2, 2), bool))
  keys = jax.random.split(jax.random.key(0), 2)
  sampler = {**roi.sampler, 'num': 0}
  found = label_and_sample(proposals, batch.objects, keys, CLASSES, roi.matcher, sampler, add_ground_truth=True)
  assert found.valid.sum(1).tolist() == [5, 5] and found.is_gt_box.sum(1).tolist() == [3, 3]


def test_boxes_without_area_are_left_out_of_what_survives():
  config = small_config().model.copy_and_resolve_references().unlock()
  config.test.update(score_threshold=0.1, detections=3)
  proposals = Proposals(
    jnp.array([[[0.0, 0, 10, 10], [50, 0, 60, 10], [20, 20, 40, 40]]]), jnp.zeros((1, 3)), jnp.ones((1, 3), bool)
  )
  scores = jnp.zeros((1, 3, CLASSES)).at[0, :, 0].set(jnp.array([0.9, 0.8, 0.7]))
  size = jnp.array([[50, 50]])  # the second proposal lies outside

  def found(drop_empty_boxes):
    config.test.drop_empty_boxes = drop_empty_boxes
    return detect(scores, jnp.zeros((1, 3, 1, 4)), proposals, size, stage(True).decode, FrozenConfigDict(config.test))

  kept, dropped = found(False), found(True)
  np.testing.assert_allclose(kept.scores, [[0.9, 0.8, 0.7]], rtol=1e-6)
  np.testing.assert_array_equal(kept.boxes[0, 1], [50, 0, 50, 10])
  np.testing.assert_allclose(dropped.scores, [[0.9, 0.7, 0.0]], rtol=1e-6)
  np.testing.assert_array_equal(dropped.valid, [[True, True, False]])


def test_soft_suppression_lowers_scores_and_the_cut_before_it_is_known():
  config = small_config().model.copy_and_resolve_references().unlock()
  config.test = {**detections.two_stage(0.1, 3, soft_nms=True), 'iou': 0.4}
  rois = jnp.array([[[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 8], [30, 20, 40, 40]]])
  proposals = Proposals(rois, jnp.zeros((1, 4)), jnp.ones((1, 4), bool))
  scores = jnp.zeros((1, 4, CLASSES)).at[0, :, 0].set(jnp.array([0.9, 0.8, 0.7, 0.3])).at[0, 1, 2].set(0.2)
  size = jnp.array([[50, 50]])

  def found(most):
    config.test.pre_nms_topk = most
    return detect(scores, jnp.zeros((1, 4, 1, 4)), proposals, size, stage(True).decode, FrozenConfigDict(config.test))

  # IoUs with the best are 0.5 and 0.8, of the other two 0.625: 0.8 is halved, 0.7 multiplied by 0.2 and by 0.375.
  complete, cut, same = found(4096), found(3), found(4)
  np.testing.assert_allclose(complete.scores, [[0.9, 0.4, 0.3]], rtol=1e-6)
  np.testing.assert_array_equal(complete.boxes[0], rois[0, jnp.array([0, 1, 3])])
  assert not complete.incomplete.any() and cut.incomplete.all() and not same.incomplete.any()
  np.testing.assert_array_equal(same.scores, complete.scores)
