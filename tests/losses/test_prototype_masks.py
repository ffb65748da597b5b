"""YOLACT's mask losses against torch, and the cells that count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.probability_cross_entropy import probability_cross_entropy
from jaxdet.losses.prototype_masks import prototype_mask_loss, semantic_loss

EXTENT = np.float32([32, 32])


def test_cross_entropy_and_its_gradient_are_those_of_torch_where_probabilities_are_certain_too():
  torch = pytest.importorskip('torch')
  logits = np.float32([-120, -60, -30, -20, -3, 0, 0.5, 10, 16, 20, 60, 120]).repeat(2)
  targets = np.tile(np.float32([0, 1]), 12)
  x = torch.tensor(logits, requires_grad=True)
  loss = torch.nn.functional.binary_cross_entropy(torch.sigmoid(x), torch.from_numpy(targets), reduction='none')
  loss.sum().backward()
  np.testing.assert_allclose(probability_cross_entropy(logits, targets), loss.detach(), rtol=1e-4, atol=1e-6)
  gradient = jax.grad(lambda logits: probability_cross_entropy(logits, targets).sum())(jnp.asarray(logits))
  assert np.isfinite(gradient).all()
  np.testing.assert_allclose(gradient, x.grad, rtol=1e-3, atol=1e-6)


def test_a_mask_counts_within_its_box_and_by_the_boxs_share():
  logits, targets = np.zeros((1, 8, 8), np.float32), np.zeros((1, 8, 8), np.float32)
  box, valid = np.float32([[8, 8, 16, 24]]), np.array([True])  # cells 2 to 4 and 2 to 6, and one around them
  loss, gradient = jax.value_and_grad(prototype_mask_loss)(logits, targets, box, valid, EXTENT)
  counted = np.zeros((8, 8), bool)
  counted[1:7, 1:5] = True
  np.testing.assert_array_equal(np.asarray(gradient[0]) != 0, counted)
  np.testing.assert_allclose(loss, np.log(2) * counted.mean() / (8 / 32 * 16 / 32), rtol=1e-5)


def test_a_target_beside_its_box_costs_without_gradient():
  logits, targets = np.zeros((1, 8, 8), np.float32), np.zeros((1, 8, 8), np.float32)
  targets[0, 7, 7] = 1
  box, valid = np.float32([[0, 0, 8, 8]]), np.array([True])
  plain = prototype_mask_loss(logits, 0 * targets, box, valid, EXTENT)
  loss, gradient = jax.value_and_grad(prototype_mask_loss)(logits, targets, box, valid, EXTENT)
  np.testing.assert_allclose(loss - plain, 100 / 64 / (1 / 16), rtol=1e-5)
  assert gradient[0, 7, 7] == 0


def test_rows_that_hold_no_mask_and_boxes_without_area_change_nothing():
  logits = np.full((3, 8, 8), np.nan, np.float32)
  logits[0] = 1
  boxes = np.float32([[0, 0, 8, 8], [0, 0, 0, 0], [4, 4, 4, 9]])
  targets, valid = np.zeros((3, 8, 8), np.float32), np.array([True, False, False])
  alone = prototype_mask_loss(logits[:1], targets[:1], boxes[:1], valid[:1], EXTENT)
  loss, gradient = jax.value_and_grad(prototype_mask_loss)(logits, targets, boxes, valid, EXTENT)
  assert loss == alone and np.isfinite(gradient).all()
  logits[2] = 1
  valid[2] = True
  assert prototype_mask_loss(logits, targets, boxes, valid, EXTENT) == alone


def test_semantic_maps_are_those_of_the_class_before_and_objects_of_a_class_are_joined():
  logits = np.zeros((2, 2, 3), np.float32)
  masks = np.float32([[[1, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [1, 0]], [[1, 1], [1, 1]]])
  labels, valid = np.array([2, 2, 0, 1]), np.array([True, True, True, False])
  loss, gradient = jax.value_and_grad(semantic_loss)(logits, masks, labels, valid)
  np.testing.assert_allclose(loss, 3 * np.log(2), rtol=1e-6)
  expected = np.zeros((2, 2, 3), bool)
  expected[0, :, 1] = expected[1, 0, 2] = True
  np.testing.assert_array_equal(np.asarray(gradient) < 0, expected)
  assert semantic_loss(logits, masks, labels, np.zeros(4, bool)) == 0
