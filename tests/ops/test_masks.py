"""Mask targets: by hand, and against the recorded operators of mmdetection and Detectron2."""

import jax
import numpy as np
import pytest
from pycocotools import mask as coco_mask

import parity_kit
from jaxdet.ops.masks import crop_masks, unpack_masks
from op_case import op_case

CELLS = 128


def test_bits_are_those_of_packbits():
  masks = np.random.default_rng(0).random((3, 16, 16)) < 0.5
  np.testing.assert_array_equal(unpack_masks(np.packbits(masks, axis=-1)), masks)


def test_a_box_around_a_filled_square_is_full_and_one_twice_as_wide_is_half_full():
  masks = np.zeros((2, 8, 8), np.float32)
  masks[:, :4, :4] = 1
  windows = np.array([[10, 20, 18, 28]] * 2, np.float32)
  boxes = np.array([[10, 20, 14, 24], [10, 20, 18, 24]], np.float32)
  full, half = np.asarray(crop_masks(masks, windows, boxes, (64, 64), 4))
  assert full.all()
  np.testing.assert_array_equal(half, np.tile([1, 1, 0, 0], (4, 1)))


def test_cells_larger_than_pixels_keep_the_shape():
  masks = np.zeros((1, 8, 8), np.float32)
  masks[:, :, :4] = 1  # the left half of a window of 80 pixels
  window = np.array([[0, 0, 80, 80]], np.float32)
  target = np.asarray(crop_masks(masks, window, window, (100, 100), 8))[0]
  np.testing.assert_array_equal(target, masks[0])


def test_rows_of_zeros_are_harmless():
  zeros = np.zeros((2, 4), np.float32)
  assert not np.asarray(crop_masks(np.zeros((2, 8, 8), np.float32), zeros, zeros, (32, 32), 7)).any()


def bitmaps(index: int, objects: list) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
  """(crops [N, CELLS, CELLS], windows [N, 4], (height, width)) of objects that are lists of polygons."""
  height, width = parity_kit.recipe().IMAGE_SIZES[index]
  crops, windows = np.zeros((len(objects), CELLS, CELLS), np.float32), np.zeros((len(objects), 4), np.float32)
  for k, polygons in enumerate(objects):
    outlines = [polygon.reshape(-1).tolist() for polygon in polygons]
    bitmap = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(outlines, height, width)))
    y, x = (int(i.min()) for i in np.nonzero(bitmap))
    crop = bitmap[y : y + CELLS, x : x + CELLS]
    assert crop.sum() == bitmap.sum()
    crops[k, : crop.shape[0], : crop.shape[1]] = crop
    windows[k] = [x, y, x + CELLS, y + CELLS]
  return crops, windows, (height, width)


@pytest.mark.parametrize('size', (14, 28))
def test_equals_mmdetection(size):
  case = op_case('masks', f'mask_target_{size}')
  polygons = parity_kit.recipe().ground_truth(0, 80)['polygons']
  masks, windows, image_size = bitmaps(0, [[polygon] for polygon in polygons])
  proposals = case.inputs['proposals']
  objects = np.arange(len(proposals)) % len(polygons)
  with jax.default_matmul_precision('highest'):
    ours = crop_masks(masks[objects], windows[objects], proposals, image_size, size)
  bits = np.unpackbits(case.outputs['packed'], axis=1)[:, : size * size]
  np.testing.assert_array_equal(np.asarray(ours).reshape(bits.shape), bits)


@pytest.mark.parametrize('size', (14, 28))
@pytest.mark.parametrize('index', (0, 1))
def test_equals_detectron2_bit_masks(index, size):
  arrays, _ = parity_kit.case('ops/d2_mask_crop')
  polygons = parity_kit.recipe().ground_truth(index, 80)['polygons']
  objects = [[polygon] for polygon in polygons]
  objects[1].append(polygons[0] + np.array([20, 10]))
  masks, windows, image_size = bitmaps(index, objects)
  boxes = arrays[f'boxes{index}']
  rows = np.arange(len(boxes)) // 5
  with jax.default_matmul_precision('highest'):
    ours = np.asarray(crop_masks(masks[rows], windows[rows], boxes, image_size, size))
  bits = np.unpackbits(arrays[f'bit{index}/{size}'])[: ours.size]
  np.testing.assert_array_equal(ours.reshape(-1), bits)
