"""Pasted masks and their RLE: by hand, and against the recorded operators of mmdetection and Detectron2."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

import parity_kit
from jaxdet.ops.paste import encode_rle, paste_mask, paste_window, soft_window
from op_case import op_case


def test_a_full_mask_fills_its_box():
  mask = paste_mask(np.ones((4, 4)), np.array([2, 1, 6, 3]), 6, 8)
  expected = np.zeros((6, 8))
  expected[1:3, 2:6] = 1
  np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize('box', ([5, 5, 5, 9], [20, 20, 30, 30], [-9, -9, -4, -4], [np.nan, 0, 4, 4]))
def test_boxes_without_pixels_give_an_empty_mask(box):
  assert not paste_mask(np.ones((4, 4)), np.array(box), 10, 10).any()


def test_the_window_is_no_larger_than_the_box_needs():
  window, (y, x) = paste_window(np.ones((28, 28)), np.array([100, 50, 128, 78]), 480, 640)
  assert window.shape <= (34, 34) and (y, x) >= (47, 97)


@pytest.mark.parametrize('threshold', (0.5, 0.3))
@pytest.mark.parametrize('size', (14, 28))
def test_equals_detectron2(size, threshold):
  arrays, meta = parity_kit.case('ops/d2_paste_masks')
  height, width = meta['image_size']
  pairs = zip(arrays[f'masks{size}'], arrays[f'boxes{size}'], strict=True)
  ours = np.stack([paste_mask(mask, box, height, width, threshold) for mask, box in pairs])
  bits = np.unpackbits(arrays[f'pasted{size}/{threshold}'])[: ours.size]
  np.testing.assert_array_equal(ours.reshape(-1), bits)


def test_equals_mmdetection_before_and_after_the_threshold():
  case = op_case('masks', 'paste')
  soft = np.zeros((16, 192, 256))
  for canvas, probabilities, box in zip(soft, case.inputs['probs'][:, 0], case.inputs['boxes'], strict=True):
    window, (y, x) = soft_window(probabilities, box, 192, 256)
    canvas[y : y + window.shape[0], x : x + window.shape[1]] = window
  samples = soft.reshape(-1)[parity_kit.recipe().sample_indices(soft.size)]
  np.testing.assert_allclose(samples, case.outputs['out'], atol=1e-6)
  np.testing.assert_array_equal((soft >= 0.5).sum((1, 2)), case.outputs['area_above_half'])


def test_rle_is_that_of_pycocotools():
  rng = np.random.default_rng(0)
  for trial in range(200):
    height, width = rng.integers(1, 12, 2)
    mask = rng.random((height, width)) < rng.random()
    # Every other window is the whole image, where runs go on from one column to the next.
    y, x = (0, 0) if trial % 2 else (rng.integers(0, height), rng.integers(0, width))
    whole = np.zeros((height, width), np.uint8, order='F')
    whole[y:, x:] = mask[y:, x:]
    assert encode_rle(mask[y:, x:], (y, x), height, width)['counts'] == coco_mask.encode(whole)['counts']


def test_an_empty_window_is_an_empty_rle():
  empty = encode_rle(np.zeros((0, 0), bool), (0, 0), 5, 4)
  assert empty['size'] == [5, 4] and coco_mask.area(empty) == 0
