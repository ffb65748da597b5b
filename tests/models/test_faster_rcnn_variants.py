"""Faster R-CNN with other parts, at a tiny size: what its losses reach, padding, and images learned by heart."""

import functools

import jax
import numpy as np
import pytest

from configs.parts import roi, rpn
from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize
from learned_by_heart import check_best_two, coloured_rectangles, learn, quick_jit
from small_detector import CLASSES, make_batch, small_config


def pafpn(model) -> None:
  model.neck.name = 'pafpn'


def ohem(model) -> None:
  model.roi.stage = 'hard_examples'
  model.roi.sampler.update(name='hardest', num=16, positive_fraction=0.5)


def fcos_rpn(model) -> None:
  """Three levels, each of which has points in an object of its range."""
  model.proposals = rpn.fcos()
  model.proposals.head.ranges = (0, 12), (12, 24), (24, 1e8)
  model.proposals.head.network.update(num_convs=1, channels=32)
  model.proposals.head.anchors.sizes = ((8,), (16,), (32,))
  model.neck.levels = model.roi.pooler.levels = (3, 4, 5)
  model.roi.pooler.canonical_level = 5


VARIANTS = {'pafpn': pafpn, 'ohem': ohem, 'fcos_rpn': fcos_rpn}


def variant_config(name: str):
  """Few channels; every anchor and RoI counts, so that what is drawn depends on no number of rows."""
  config = small_config().copy_and_resolve_references()
  model = config.model
  model.roi = roi.mmdet(box_head={**roi.box_head(), 'channels': 32}, beta=1.0)
  model.roi.pooler.canonical_size = 56
  model.roi.sampler.num = model.proposals.sampler.num = 0
  model.proposals.loss.beta = 1 / 9  # the signs of L1 may cancel
  VARIANTS[name](model)
  model.proposals.train_proposals.update(pre_nms_topk=100, post_nms_topk=20)
  model.proposals.test_proposals.update(pre_nms_topk=100, post_nms_topk=20)
  model.test.update(score_threshold=0.0, pre_nms_topk=64, detections=10)
  return config


@functools.cache
def built(name: str):
  """(variables, jitted gradient of the loss, jitted predict)."""
  detector = build_detector(variant_config(name).model, CLASSES)
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))

  def total(params, batch):
    losses, _ = forward.loss(detector, variables | {'params': params}, batch, jax.random.key(1))
    return sum(value for name, value in losses.items() if name.startswith('loss_')), losses

  predict = quick_jit(functools.partial(forward.predict, detector))
  return variables, quick_jit(jax.grad(total, has_aux=True)), predict


@pytest.mark.parametrize('name', VARIANTS)
def test_losses_are_finite_and_reach_every_array(name):
  variables, loss, _ = built(name)
  gradients, losses = loss(variables['params'], make_batch(objects=5))
  assert all(np.isfinite(value) and value > 0 for name, value in losses.items() if name.startswith('loss_'))
  for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, path


@pytest.mark.parametrize('name', VARIANTS)
def test_rows_that_hold_no_object_change_no_loss(name):
  variables, loss, _ = built(name)
  batch = make_batch(objects=5)
  objects = batch.objects
  soiled = objects.replace(boxes=np.where(objects.valid[..., None], objects.boxes, np.float32([9, 18, 27, 36])))
  assert (soiled.boxes != objects.boxes).any()
  _, losses = loss(variables['params'], batch)
  _, same = loss(variables['params'], batch.replace(objects=soiled))
  for key, value in losses.items():
    np.testing.assert_allclose(same[key], value, rtol=1e-5, err_msg=key)


@pytest.mark.parametrize('name', VARIANTS)
def test_detections_lie_on_the_image_best_first_and_padding_changes_nothing(name):
  variables, _, predict = built(name)
  batch = make_batch(objects=5)
  found = predict(variables, batch)
  boxes, valid = np.asarray(found.boxes), np.asarray(found.valid)
  assert valid.any()
  assert (boxes[valid] >= 0).all() and (boxes[valid] <= [80, 56, 80, 56]).all()
  assert all((np.diff(scores[mask]) <= 0).all() for scores, mask in zip(np.asarray(found.scores), valid, strict=True))
  soiled = np.full_like(batch.image, 200)
  soiled[:, :56, :80] = batch.image[:, :56, :80]
  jax.tree.map(np.testing.assert_array_equal, found, predict(variables, batch.replace(image=soiled)))


@pytest.mark.slow
@pytest.mark.parametrize('name', VARIANTS)
def test_two_images_are_learned_by_heart(name):
  detector, batch = build_detector(variant_config(name).model, CLASSES), coloured_rectangles()
  variables, losses = learn(detector, batch, steps=150)
  assert losses[-1] < losses[0] / 5
  check_best_two(quick_jit(functools.partial(forward.predict, detector))(variables, batch), batch, least_iou=0.5)
