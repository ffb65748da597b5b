"""Libra R-CNN at a tiny size: its parts together, what its losses reach, images learned by heart."""

import functools

import jax
import numpy as np
import pytest

from configs.parts import roi
from jaxdet.structures import Proposals
from small_detector import make_batch
from small_rcnn import (
  arrays_without_gradient,
  build,
  check_detections_lie_on_the_images,
  check_two_images_are_learned,
  small_rcnn_config,
  with_soiled_padding,
)

BALANCED = {'name': 'balanced', 'positive_fraction': 0.25, 'bins': 3, 'floor_iou': 0.0, 'floor_fraction': 0.0}


def small_libra_config():
  settings = roi.mmdet(box_head={**roi.box_head(), 'channels': 32})
  loss = {'name': 'balanced_l1', 'alpha': 0.5, 'gamma': 1.5, 'beta': 1.0, 'weight': 1.0}
  config = small_rcnn_config({**settings, 'sampler': {**BALANCED, 'num': 0}, 'loss': loss})
  config.model.neck = {**config.model.neck, 'name': 'balanced_fpn', 'refine_level': 4}
  config.model.proposals.sampler = {**config.model.proposals.sampler, 'negatives_per_positive': 5}
  return config


@functools.cache
def built():
  """The detector, whose refinement is no longer the identity that it begins as."""
  made = build(small_libra_config())
  output = made.variables['params']['neck']['refinement']['output']
  output['kernel'] = 0.1 * jax.random.normal(jax.random.key(5), output['kernel'].shape)
  return made


def test_losses_are_finite_and_reach_every_array():
  _, variables, loss, _ = built()
  gradients, (losses, _) = loss(variables, make_batch())
  assert all(np.isfinite(x) for x in losses.values())
  # A constant added to all products of a pixel changes none of its weights.
  assert np.abs(gradients['neck']['refinement']['phi'].pop('bias')).max() < 1e-7
  assert arrays_without_gradient(gradients) == []


def test_the_refinement_begins_as_the_identity():
  params = build(small_libra_config()).variables['params']['neck']
  assert not params['refinement']['output']['kernel'].any() and set(params) == {'pyramid', 'refinement'}


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


def test_a_box_stage_samples_evenly_over_objects():
  config = small_libra_config()
  config.model.roi.sampler.num = 40
  config.model.roi.add_ground_truth = False
  [stage] = build(config).detector.stages
  batch = make_batch(images=1)
  # Copies of the first object, two of the second, and background.
  proposals = np.zeros((1, 40, 4), np.float32)
  proposals[:, :20], proposals[:, 20:22] = batch.objects.boxes[:, :1], batch.objects.boxes[:, 1:2]
  proposals[:, 22:] = [60, 30, 75, 50]
  given = Proposals(proposals, np.zeros((1, 40), np.float32), np.ones((1, 40), bool))

  class Steps:
    def step(self, name, function, *args, gradient):
      return function(*args)

  targets = stage.label(Steps(), {}, given, batch, jax.random.split(jax.random.key(0), 1))
  assert targets.positive.sum() == 10
  assert np.bincount(targets.gt_index[targets.positive], minlength=3).tolist() == [8, 2, 0]


@pytest.mark.slow
def test_two_images_are_learned_by_heart():
  config = small_libra_config()
  config.model.roi.sampler.num = 32
  check_two_images_are_learned(config, steps=250)
