import gzip
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

import parity_kit
from input_pipeline import rasterize
from input_pipeline.polygons import Polygons


def polygons(*objects):
  flat = [np.asarray(polygon, np.float32).ravel() for polygons in objects for polygon in polygons]
  return Polygons.from_flat(np.concatenate(flat), np.array([len(f) for f in flat]), [len(o) for o in objects])


def on_canvas(objects, height, width):
  """Each object's mask on the whole canvas, by the COCO API."""
  masks = []
  for parts in objects:
    runs = coco_mask.frPyObjects([np.float32(part).astype(float).ravel() for part in parts], height, width)
    masks.append(coco_mask.decode(runs).any(axis=2))
  return np.stack(masks)


def window_of(mask, window, size):
  """The canvas's pixels in a window of whole pixels, zeros beyond the canvas."""
  x, y = window[:2].astype(int)
  padded = np.pad(mask, size)
  return padded[y + size : y + 2 * size, x + size : x + 2 * size]


def random_objects(rng, count, reach):
  objects = []
  for _ in range(count):
    parts = []
    for _ in range(rng.integers(1, 4)):
      angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 20)))
      radius = rng.uniform(1, reach, len(angles))
      centre = rng.uniform(reach, 200 - reach, 2)
      parts.append(np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None] + centre)
    objects.append(parts[:1] if reach > 30 else [part - part.mean(0) + parts[0].mean(0) for part in parts])
  return objects


def test_windows_by_hand():
  boxes = np.array([[3.7, 4.2, 9.1, 12.0], [10.0, 20.5, 30.2, 24.0]])
  windows = rasterize.mask_windows(boxes, mask_size=16)
  # The second box touches the pixels 10..30 along x, more than 16; along y its window has 16 pixels.
  np.testing.assert_array_equal(windows, [[3, 4, 19, 20], [10, 20, 31, 36]])


def test_a_square_by_hand():
  square = [[(2, 3), (6, 3), (6, 5), (2, 5)]]
  windows = rasterize.mask_windows(np.array([[2.0, 3.0, 6.0, 5.0]]), mask_size=8)
  bits = rasterize.rasterize_polygons(polygons(square), windows, 8)
  expected = np.zeros((8, 8), bool)
  expected[:2, :4] = True
  np.testing.assert_array_equal(bits[0], expected)
  np.testing.assert_array_equal(rasterize.pack(bits)[0, :3, 0], [0b11110000, 0b11110000, 0])
  np.testing.assert_array_equal(rasterize.unpack(rasterize.pack(bits)), bits)


def test_small_objects_have_the_canvas_bits():
  objects = random_objects(np.random.default_rng(0), 40, reach=20)
  shapes = polygons(*objects)
  windows = rasterize.mask_windows(shapes.boxes(len(objects)), mask_size=64)
  np.testing.assert_array_equal(windows[:, 2:] - windows[:, :2], 64)
  bits = rasterize.clear_outside(rasterize.rasterize_polygons(shapes, windows, 64), windows, 200, 200)
  masks = on_canvas(objects, 200, 200)
  assert bits.any(axis=(1, 2)).all()
  for index, mask in enumerate(masks):
    np.testing.assert_array_equal(bits[index], window_of(mask, windows[index], 64))


def test_large_objects_are_means_over_cells():
  objects = random_objects(np.random.default_rng(1), 20, reach=90)
  shapes = polygons(*objects)
  windows = rasterize.mask_windows(shapes.boxes(len(objects)), mask_size=32)
  bits = rasterize.rasterize_polygons(shapes, windows, 32)
  # Each cell against the finely rasterised polygon's share of it.
  fine = rasterize.rasterize_polygons(shapes, windows, 32 * 8).reshape(20, 32, 8, 32, 8).mean(axis=(2, 4))
  assert (windows[:, 2] - windows[:, 0] > 32).all()
  assert np.abs(bits.mean(axis=(1, 2)) - fine.mean(axis=(1, 2))).max() < 0.03
  assert bits[fine > 0.8].mean() > 0.98 and bits[fine < 0.2].mean() < 0.02


def test_objects_without_polygons_are_empty():
  square = [[(2, 3), (6, 3), (6, 5), (2, 5)]]
  windows = rasterize.mask_windows(np.array([[0.0, 0, 3, 3], [2, 3, 6, 5], [0, 0, 1, 1]]), 8)
  bits = rasterize.rasterize_polygons(polygons([], square, []), windows, 8)
  np.testing.assert_array_equal(bits.sum(axis=(1, 2)), [0, 8, 0])
  assert not rasterize.rasterize_polygons(polygons([[]]).take(np.array([False])), windows[:0], 8).size


def test_bits_beyond_the_image_are_cleared():
  windows = np.array([[6.0, 0, 14, 8], [0, 4, 32, 12]], np.float32)
  bits = rasterize.clear_outside(np.ones((2, 8, 8), bool), windows, height=6, width=10)
  np.testing.assert_array_equal(bits[0].sum(axis=0), [6, 6, 6, 6, 0, 0, 0, 0])
  np.testing.assert_array_equal(bits[1], np.pad(np.ones((2, 3), bool), ((0, 6), (0, 5))))  # cells are 4 pixels wide


@pytest.mark.parametrize('flipped', [False, True])
def test_runs_are_resized_to_the_nearest_pixel(flipped):
  mask = np.zeros((20, 30), np.uint8, order='F')
  mask[5:9, 10:18] = 1
  mask[12, 22] = 1
  counts = coco_mask.encode(mask)['counts']
  # Twice as large; flipped, the canvas is 60 wide.
  scale, offset = (np.array([-2.0, 2.0]), np.array([60.0, 0])) if flipped else (np.array([2.0, 2.0]), np.zeros(2))
  windows = rasterize.mask_windows(np.array([[8.0, 6, 60, 40]]), 64)
  bits = rasterize.resample_runs([counts], (20, 30), scale, offset, windows, 64)
  large = mask.repeat(2, axis=0).repeat(2, axis=1)
  large = large[:, ::-1] if flipped else large
  np.testing.assert_array_equal(bits[0], window_of(large, windows[0], 64))


def test_photograph_masks_equal_the_coco_api():
  folder = parity_kit.photos() / 'mini_lvis'
  with gzip.open(folder / 'coco_instances_val.json.gz') as f:
    content = json.load(f)
  images = {image['id']: image for image in content['images']}
  checked = 0
  for annotation in content['annotations'][:400]:
    if annotation['iscrowd']:
      continue
    image = images[annotation['image_id']]
    parts = [np.reshape(part, (-1, 2)) for part in annotation['segmentation']]
    shapes = polygons(parts)
    windows = rasterize.mask_windows(shapes.boxes(1), 112)
    if (windows[:, 2:] - windows[:, :2] > 112).any():
      continue
    bits = rasterize.rasterize_polygons(shapes, windows, 112)
    bits = rasterize.clear_outside(bits, windows, image['height'], image['width'])
    mask = on_canvas([parts], image['height'], image['width'])[0]
    np.testing.assert_array_equal(bits[0], window_of(mask, windows[0], 112))
    checked += 1
  assert checked > 100


def test_pixels_of_bits_are_those_whose_centres_lie_in_set_cells():
  # 2 x 2 cells of 2.5 x 2.5 pixels at (1, 2), of which the last column and the last row of pixels are outside.
  bits = np.array([[[True, False], [False, True]]])
  window = np.array([[1, 2, 6, 7]], np.float32)
  pixels = rasterize.pixels_of_bits(bits, window, height=6, width=5)
  expected = np.zeros((6, 5), np.bool_)
  expected[2:4, 1:3] = True  # centres 0.5 and 1.5 from the window's start; that of the next, 2.5, is the second cell's
  expected[4:6, 3:5] = True
  np.testing.assert_array_equal(pixels, expected)
  both = rasterize.pixels_of_bits(np.concatenate([bits, ~bits]), np.repeat(window, 2, axis=0), height=6, width=5)
  assert both[2:, 1:].all() and both.sum() == 16


def test_sampled_pixels_lie_under_the_centres_of_cells():
  pixels = np.zeros((8, 5), np.bool_)
  pixels[4, 2] = pixels[7, 4] = True
  # The cells of 2.5 x 4 pixels have their centres at x 2.25 and 4.75, y 4 and 8: the last row is outside.
  sampled = rasterize.sample_pixels(pixels, np.array([[1, 2, 6, 10]], np.float32), mask_size=2)
  np.testing.assert_array_equal(sampled, [[[True, False], [False, False]]])


def test_pixels_of_polygons_are_the_union_of_what_the_coco_api_draws():
  two = polygons([[(1, 1), (4, 1), (4, 5), (1, 5)]], [[(3, 3), (7, 3), (7, 6), (3, 6)]])
  expected = np.zeros((8, 9), np.bool_)
  expected[1:5, 1:4] = expected[3:6, 3:7] = True
  np.testing.assert_array_equal(rasterize.pixels_of_polygons(two, 8, 9), expected)
  nothing = two.without(np.array([True, True]))
  assert not rasterize.pixels_of_polygons(nothing, 8, 9).any()
