import numpy as np
import pytest
from PIL import Image

import parity_kit
from input_pipeline.resize import inside_size, random_offset, resize, shortest_edge_size


def noise(height, width, seed=0):
  return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def test_shortest_edge_by_hand():
  assert shortest_edge_size((480, 640), 800, 1333) == (800, 1067)
  assert shortest_edge_size((640, 480), 800, 1333) == (1067, 800)
  assert shortest_edge_size((300, 1200), 800, 1333) == (333, 1333)  # the longer side decides
  assert shortest_edge_size((1, 5000), 800, 1333) == (1, 1333)  # never empty


def test_shortest_edge_equals_detectron2():
  _, meta = parity_kit.case('ops/d2_resize')
  rows = meta['ResizeShortestEdge']['rows']
  assert len(rows) > 100
  for height, width, shortest, longest, *expected in rows:
    assert shortest_edge_size((height, width), shortest, longest) == tuple(expected)


def test_inside_size_keeps_the_shape_and_fits():
  assert inside_size((480, 640), (1024, 1024)) == (768, 1024)
  assert inside_size((480, 640), (1024, 1024), scale=2.0) == (1536, 2048)
  assert inside_size((480, 640), (1024, 1024), scale=0.1) == (77, 102)
  assert inside_size((800, 600), (800, 1344)) == (800, 600)


@pytest.mark.parametrize('name', ['down', 'up', 'aniso'])
def test_pixels_equal_detectron2(name):
  arrays, _ = parity_kit.case('ops/d2_resize')
  golden = arrays[f'pil/{name}']
  image = Image.fromarray(np.asarray(parity_kit.recipe().image(0)).astype(np.uint8))
  sizes = {'down': (100, 133), 'up': (300, 400), 'aniso': (96, 300)}
  pixels = np.asarray(resize(image, sizes[name]))[::7, ::5]
  np.testing.assert_array_equal(pixels, golden)


@pytest.mark.parametrize('size', [(60, 90), (333, 500), (150, 200)])
def test_a_part_equals_the_part_of_the_whole(size):
  image = noise(150, 200)
  offset, crop = (11, 23), (40, 60)
  whole = np.asarray(resize(image, size)).astype(int)[11:51, 23:83]
  part = np.asarray(resize(image, size, offset, crop)).astype(int)
  assert np.abs(whole - part).max() <= 2
  assert (whole != part).mean() < 0.15  # noise is the worst case; 1 % of a photograph


def test_a_part_may_be_the_whole():
  image = noise(20, 30)
  np.testing.assert_array_equal(resize(image, (40, 60), (0, 0), (40, 60)), resize(image, (40, 60)))


def test_offset_is_a_fraction_of_what_is_cut_off():
  assert random_offset((100, 300), (80, 100), 0.5) == (10, 100)
  assert random_offset((100, 300), (200, 100), 1.0) == (0, 200)  # nothing to cut along y
