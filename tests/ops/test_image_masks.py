"""Masks on a grid over the canvas: cells of boxes, and pixels as torch interpolates them."""

import jax.numpy as jnp
import numpy as np
import pytest
from pycocotools import mask as rle_codec

from jaxdet.ops.image_masks import cells_of_boxes, encode_image_masks, image_mask_window


def test_a_box_owns_the_cells_that_it_touches_and_one_around_them():
  rows, columns = cells_of_boxes(np.float32([[16, 8, 24, 12]]), (32, 64), (8, 8))
  assert np.flatnonzero(rows[0]).tolist() == [1, 2, 3]  # y from 2 to 3 cells
  assert np.flatnonzero(columns[0]).tolist() == [1, 2, 3]  # x from 2 to 3 cells of 8 pixels
  for ours, jax_array in zip(
    (rows, columns), cells_of_boxes(jnp.float32([[16, 8, 24, 12]]), (32, 64), (8, 8)), strict=True
  ):
    np.testing.assert_array_equal(ours, jax_array)


@pytest.mark.parametrize('size', [(48, 64), (37, 90), (12, 9)])
def test_pixels_are_those_of_torch(size):
  torch = pytest.importorskip('torch')
  rng = np.random.default_rng(0)
  probabilities = rng.random((3, 12, 16), np.float32)
  boxes = np.float32([[0, 0, 1, 1], [0.3, 0.2, 0.6, 0.9], [0.9, 0.5, 0.95, 0.6]]) * np.tile(size[::-1], 2)
  rows, columns = cells_of_boxes(boxes.astype(np.float32), size, (12, 16))
  cropped = probabilities * rows[:, :, None] * columns[:, None]
  expected = torch.nn.functional.interpolate(torch.from_numpy(cropped)[None], size, mode='bilinear')[0].numpy()
  for encoded, wanted in zip(encode_image_masks(probabilities, boxes, size, *size), expected, strict=True):
    certain = np.abs(wanted - 0.5) > 1e-5
    np.testing.assert_array_equal(rle_codec.decode(encoded)[certain], (wanted > 0.5)[certain])


def test_a_grid_may_cover_more_than_the_image():
  probabilities = np.zeros((4, 4), np.float32)
  probabilities[1:3, 1:3] = 1
  window, origin = image_mask_window(probabilities, np.float32([0, 0, 10, 6]), (16, 16), height=6, width=10)
  mask = np.zeros((6, 10), bool)
  mask[origin[0] :, origin[1] :][: window.shape[0], : window.shape[1]] = window
  assert mask[4:6, 5:10].all() and mask[5, 4] and mask.sum() == 11  # at the corner it is 0.625 ** 2


def test_one_half_is_no_mask_and_a_box_beside_the_grid_has_none():
  half = np.full((4, 4), 0.5, np.float32)
  assert not image_mask_window(half, np.float32([0, 0, 8, 8]), (8, 8), 8, 8)[0].any()
  assert image_mask_window(half + 1, np.float32([80, 80, 90, 90]), (8, 8), 8, 8)[0].size == 0
