"""Dynamic R-CNN at a tiny size: how its threshold and beta move, what its losses reach, images learned by heart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.parts import roi
from jaxdet.models.box_stages import dynamic
from jaxdet.models.build import build_detector
from jaxdet.models.roi_targets import RoITargets
from jaxdet.ops.box_coder import make_coder
from jaxdet.structures import Proposals
from jaxdet.training.checkpoint import Checkpoints, Metadata
from jaxdet.training.state import TrainState
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
from toy_detector import ToyDataset, toy_config

DYNAMIC = {'interval': 2, 'iou_rank': 4, 'least_iou': 0.4, 'shift_rank': 2, 'largest_beta': 1.0}


def small_dynamic_config(**settings):
  heads = roi.mmdet(box_head={**roi.box_head(), 'channels': 32}, beta=1.0)
  return small_rcnn_config({**heads, 'stage': 'dynamic', 'dynamic': DYNAMIC | settings})


@functools.cache
def built():
  return build(small_dynamic_config())


def state_of(variables):
  stats = variables['batch_stats']
  return stats['matcher'], stats['box_loss']


def test_losses_are_finite_and_reach_every_array():
  _, variables, loss, _ = built()
  gradients, (losses, _) = loss(variables, make_batch())
  assert all(np.isfinite(x) for x in losses.values())
  assert arrays_without_gradient(gradients) == []
  assert (losses['iou_threshold'], losses['beta']) == (0.5, 1.0)


def test_padding_changes_no_loss_no_state_and_no_detection():
  _, variables, loss, predict = built()
  batch = make_batch(objects=5)
  soiled = with_soiled_padding(batch)
  _, made = loss(variables, batch)
  _, same = loss(variables, soiled)
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), made, same)
  found = predict(variables, batch)
  check_detections_lie_on_the_images(found, batch)
  jax.tree.map(np.testing.assert_array_equal, found, predict(variables, soiled))


def test_threshold_and_beta_stay_for_an_interval_and_then_move():
  _, variables, loss, _ = built()
  batch, before = make_batch(objects=5), []
  for step in range(1, 4):
    _, (losses, moved) = loss(variables, batch)
    before.append((float(losses['iou_threshold']), float(losses['beta'])))
    variables = variables | {'batch_stats': {**variables['batch_stats'], **moved['batch_stats']}}
    matcher, box_loss = state_of(variables)
    assert matcher['steps'] == box_loss['steps'] == step % 2
  assert before[:2] == [(0.5, 1.0)] * 2
  assert before[2] == (float(matcher['threshold']), float(box_loss['beta']))
  # The three objects are proposals too, the fourth best IoU is that of a proposal; the smallest targets are theirs.
  assert before[2][0] >= 0.4 and before[2][1] == 1.0
  # The threshold is what proposals are matched by: at more than 1 only none is positive.
  strict = {**matcher, 'threshold': jnp.float32(1.1)}
  _, (losses, _) = loss(variables | {'batch_stats': {**variables['batch_stats'], 'matcher': strict}}, batch)
  assert losses['positives'] == 0 and losses['loss_box'] == 0
  # Beta is that of the loss: a smaller one makes it larger.
  small = {**box_loss, 'beta': jnp.float32(0.1)}
  _, (losses, _) = loss(variables | {'batch_stats': {**variables['batch_stats'], 'box_loss': small}}, batch)
  _, (usual, _) = loss(variables, batch)
  assert losses['loss_box'] > usual['loss_box']


def test_a_run_that_is_resumed_goes_on_within_the_interval(tmp_path):
  threshold, beta = dynamic.initial_threshold(0.5), dynamic.initial_beta(1.0, 3)
  for shift in (0.3, 0.1):
    threshold = dynamic.next_threshold(threshold, jnp.float32(0.7), 0.4, 3)
    beta = dynamic.next_beta(beta, jnp.float32(shift), jnp.array(True), 1.0)
  stats = {'matcher': threshold, 'box_loss': beta}
  state = TrainState(jnp.int32(2), {'head': jnp.ones(2)}, {}, stats, optax.EmptyState(), None)
  checkpoints = Checkpoints(str(tmp_path), keep=1)
  checkpoints.save(state, Metadata(toy_config(), ToyDataset(num_classes=3).categories))
  checkpoints.wait()
  anew = {'matcher': dynamic.initial_threshold(0.5), 'box_loss': dynamic.initial_beta(1.0, 3)}
  restored = checkpoints.restore(2, like=state.replace(batch_stats=anew)).batch_stats
  checkpoints.close()
  threshold = dynamic.next_threshold(restored['matcher'], jnp.float32(0.4), 0.4, 3)
  beta = dynamic.next_beta(restored['box_loss'], jnp.float32(0.2), jnp.array(True), 1.0)
  np.testing.assert_allclose([threshold['threshold'], beta['beta']], [0.6, 0.2], rtol=1e-6)


def test_the_threshold_is_the_mean_of_an_interval_but_not_too_low():
  step = jax.jit(functools.partial(dynamic.next_threshold, least=0.4, interval=3))
  state, seen = dynamic.initial_threshold(0.5), []
  for iou in (0.6, 0.8, 0.7, 0.1, 0.2, 0.3, 0.9):
    state = step(state, jnp.float32(iou))
    seen.append(float(state['threshold']))
  np.testing.assert_allclose(seen, [0.5, 0.5, 0.7, 0.7, 0.7, 0.4, 0.4], rtol=1e-6)


def test_beta_is_the_median_of_an_interval_but_not_too_high():
  step = jax.jit(functools.partial(dynamic.next_beta, largest=1.0))
  state, seen = dynamic.initial_beta(1.0, 4), []
  intervals = [
    [(0.3, True), (0.1, True), (0.2, True), (0.8, True)],  # an even number: the mean of 0.2 and 0.3
    [(0.6, True), (9.0, False), (0.5, True), (0.7, True)],  # 0.6, without the step that has no positive
    [(9.0, False)] * 4,  # stays
    [(0.0, True)] * 4,  # stays: a beta of 0 is not possible
    [(3.0, True)] * 4,  # 1
  ]
  for interval in intervals:
    for shift, known in interval:
      last = float(state['beta'])
      state = step(state, jnp.float32(shift), jnp.array(known))
      seen.append(last)
  assert len(set(seen[:4])) == 1
  np.testing.assert_allclose([*seen[4::4], float(state['beta'])], [0.25, 0.6, 0.6, 0.6, 1.0], rtol=1e-6)


def test_the_iou_of_a_rank():
  objects = make_batch(images=2, objects=4).objects
  # IoU with the first object, 20 x 20 pixels: 1, 0.5, 0.25, 0; then padding.
  boxes = jnp.float32([[4, 4, 24, 24], [4, 4, 14, 24], [4, 4, 14, 14], [90, 90, 95, 95], [4, 4, 24, 24]])
  valid = jnp.array([[True] * 4 + [False], [True, True, False, False, False]])
  proposals = Proposals(jnp.stack([boxes, boxes]), jnp.zeros((2, 5)), valid)

  @functools.partial(quick_jit, static_argnums=(0, 1))
  def ious(rank, add_ground_truth):
    return dynamic.iou_of_rank(proposals, objects, rank, add_ground_truth)

  np.testing.assert_allclose(ious(3, False), [0.25, 0.5], rtol=1e-6)  # of two the lowest
  np.testing.assert_allclose(ious(5, True), [0.5, 0.5], rtol=1e-6)  # after three objects and the first proposal


def test_the_shift_of_a_rank():
  objects = make_batch(images=2).objects
  # The first object moved by 2, 6 and 4 pixels of 20 along x, and the second image without a positive.
  moved = jnp.float32([[6, 4, 26, 24], [10, 4, 30, 24], [8, 4, 28, 24]])
  positive = jnp.array([[True] * 3, [False] * 3])
  zeros = jnp.zeros((2, 3), jnp.int32)
  targets = RoITargets(jnp.stack([moved, moved]), zeros, zeros, positive, positive, positive)
  coder = make_coder(small_dynamic_config().model.roi.coder)
  of_rank = quick_jit(dynamic.shift_of_rank, static_argnums=(2, 3))
  for rank, pixels in ((1, 2), (2, 4), (9, 6)):
    shift, known = of_rank(targets, objects, coder, rank)
    np.testing.assert_allclose(shift, 10 * pixels / 20 / 2, rtol=1e-5)
    assert known
  _, known = of_rank(targets.replace(positive=jnp.zeros_like(positive)), objects, coder, 1)
  assert not known


def test_a_loss_without_beta_is_refused():
  model = small_dynamic_config().model
  model.roi.loss = {'name': 'giou', 'weight': 10.0}
  with pytest.raises(ValueError, match="the stage 'dynamic' moves the beta of 'smooth_l1', but roi.loss is 'giou'"):
    build_detector(model, CLASSES)


@pytest.mark.slow
def test_two_images_are_learned_by_heart():
  check_two_images_are_learned(small_dynamic_config(interval=20, iou_rank=10, shift_rank=10), steps=300)
