"""Pasting masks and run lengths: by hand, and as Detectron2, mmdetection and pycocotools give them."""

import numpy as np
import pytest

from jaxdet.ops.paste import encode_rle, paste_and_encode, paste_mask, paste_probabilities, paste_window
from parity_kit import case, recipe


def whole(window_and_origin, height, width):
  window, (y, x) = window_and_origin
  image = np.zeros((height, width), window.dtype)
  image[y : y + window.shape[0], x : x + window.shape[1]] = window
  return image


def test_a_full_mask_fills_the_pixels_whose_centres_are_in_the_box():
  mask = paste_mask(np.ones((28, 28)), [2.4, 1.0, 6.0, 3.6], 6, 8)
  expected = np.zeros((6, 8))
  expected[1:4, 2:6] = 1  # centres 2.5 to 5.5 and 1.5 to 3.5
  np.testing.assert_array_equal(mask, expected)
  assert mask.dtype == np.uint8


def test_interpolates_between_cells_by_hand():
  probabilities = np.array([[0.0, 1.0], [0.0, 1.0]])
  image = whole(paste_probabilities(probabilities, [0, 0, 4, 4], 4, 4), 4, 4)
  # Cell centres are at x = 1 and 3; rows 0 and 3 lie a quarter of a cell outside the outer centres.
  np.testing.assert_allclose(image[1], [0, 0.25, 0.75, 0.75], atol=1e-6)
  np.testing.assert_allclose(image[0], 0.75 * image[1], atol=1e-6)


def test_only_the_window_around_the_box_is_computed():
  window, origin = paste_window(np.ones((28, 28)), [100.2, 50.0, 110.0, 55.5], 480, 640)
  assert origin == (49, 99)
  assert window.shape == (57 - 49, 111 - 99)


@pytest.mark.parametrize(
  'box',
  [(5, 5, 5, 9), (5, 5, 3, 9), (0, 0, 0, 0), (-20, 3, -10, 9), (3, 100, 9, 120), (np.nan, 0, 4, 4), (0, 0, np.inf, 4)],
)
def test_empty_outside_and_broken_boxes_give_an_empty_mask(box):
  assert paste_mask(np.ones((28, 28)), box, 20, 30).sum() == 0
  window, origin = paste_window(np.ones((28, 28)), box, 20, 30)
  assert not window.any()
  assert encode_rle(window, origin, 20, 30)['size'] == [20, 30]


def test_equals_detectron2():
  arrays, meta = case('ops/d2_paste_masks')
  height, width = meta['image_size']
  for size in (14, 28):
    masks, boxes = arrays[f'masks{size}'], arrays[f'boxes{size}']
    for threshold in (0.5, 0.3):
      pasted = np.stack([paste_mask(m, b, height, width, threshold) for m, b in zip(masks, boxes, strict=True)])
      expected = np.unpackbits(arrays[f'pasted{size}/{threshold}'])[: pasted.size].reshape(pasted.shape)
      np.testing.assert_array_equal(pasted, expected)
    for mask, box, expected in zip(masks, boxes, arrays[f'soft{size}'], strict=False):
      soft = 255 * whole(paste_probabilities(mask, box, height, width), height, width)
      # Upstream truncates to an integer.
      assert np.all((soft > expected - 1e-3) & (soft < expected + 1 + 1e-3))


def test_equals_mmdetection():
  arrays, _ = case('ops/masks')
  masks = recipe().uniform('masks|probs', (16, 1, 28, 28)).astype(np.float32)[:, 0]
  pairs = list(zip(masks, arrays['paste/in/boxes'], strict=True))
  soft, in_window = [], []
  for mask, box in pairs:
    window, origin = paste_probabilities(mask, box, 192, 256)
    soft.append(whole((window, origin), 192, 256))
    in_window.append(whole((np.ones_like(window), origin), 192, 256))
  picked = recipe().sample_indices(16 * 192 * 256)
  soft, in_window = np.stack(soft).reshape(-1)[picked], np.stack(in_window).reshape(-1)[picked] == 1
  np.testing.assert_allclose(soft[in_window], arrays['paste/out'][in_window], atol=1e-5)
  # The recorded call did not cut the windows out: up to half a cell outside a box something is left, below one half.
  assert arrays['paste/out'][~in_window].max() < 0.5
  areas = [paste_mask(m, b, 192, 256).sum() for m, b in pairs]
  np.testing.assert_array_equal(areas, arrays['paste/area_above_half'])


def test_run_lengths_by_hand():
  # Down the columns 4 zeros, 2 ones, 2 zeros, 1 one, 3 zeros; from the fourth on less the count two before.
  window = np.array([[1, 0], [1, 1]], bool)
  assert encode_rle(window, (1, 1), 3, 4) == {'size': [3, 4], 'counts': b'422O1'}  # O is -1


def test_run_lengths_equal_pycocotools():
  coco = pytest.importorskip('pycocotools.mask')
  rng = np.random.default_rng(0)
  windows = [((0, 0), np.ones((9, 13), bool), 9, 13), ((3, 2), np.zeros((0, 0), bool), 9, 13)]
  for _ in range(300):
    height, width = rng.integers(1, 40, 2)
    h, w = rng.integers(0, height + 1), rng.integers(0, width + 1)
    if rng.random() < 0.3:
      h = height  # runs go on from column to column
    origin = (rng.integers(0, height - h + 1), rng.integers(0, width - w + 1))
    windows.append((origin, rng.random((h, w)) < rng.choice([0.05, 0.5, 0.95, 1.0]), int(height), int(width)))
  big = np.zeros((2000, 1500), bool)
  big[100:1900, 300:320] = rng.random((1800, 20)) < 0.01
  windows.append(((0, 0), big, 2000, 1500))
  for origin, window, height, width in windows:
    image = whole((window, origin), height, width)
    expected = coco.encode(np.asfortranarray(image.astype(np.uint8)))
    assert encode_rle(window, origin, height, width) == expected


def test_a_window_beyond_the_image_is_an_error():
  with pytest.raises(ValueError, match=r'3 x 3 at \(0, 2\) does not lie in 4 x 4'):
    encode_rle(np.ones((3, 3), bool), (0, 2), 4, 4)


def test_all_masks_of_an_image_are_encoded_as_one_by_one():
  rng = np.random.default_rng(0)
  for height, width in ((48, 64), (30, 9), (1, 5)):
    masks = rng.random((70, 14, 14)).astype(np.float32)
    corner = rng.uniform(-0.2, 1, (70, 2)) * (width, height)
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(-2, 4.5, (70, 2)))], axis=-1)
    boxes[:5] = [np.nan, 0, 4, 4], [3, 3, 3, 9], [0, 0, width, height], [90, 90, 99, 99], [-1e30, -1e30, 1e30, 1e30]
    masks[2] = 1  # the whole image: one run of zeros of no length, one of ones
    expected = [
      encode_rle(*paste_window(mask, box, height, width), height, width) for mask, box in zip(masks, boxes, strict=True)
    ]
    assert paste_and_encode(masks, boxes, height, width) == expected
    assert len({each['counts'] for each in expected}) > (5 if height == 1 else 30)
  assert paste_and_encode(masks[:0], boxes[:0], 30, 40) == []
