"""Pixels of drawings."""

import itertools

import numpy as np
import pytest
from PIL import Image

from jaxdet.visualization import draw
from jaxdet.visualization.draw import colour, contact_sheet, draw_detections, drawn_size, side_by_side
from jaxdet.visualization.draw_map import draw_map

GREY = np.full((480, 640, 3), 128, np.uint8)
NAMES = {7: 'cat', 8: 'traffic_light'}


def test_colours_are_fixed_and_neighbours_differ():
  assert colour(7) == colour(7)
  colours = np.asarray([colour(id) for id in range(1, 13)], float)
  distances = [np.abs(a - b).sum() for a, b in itertools.combinations(colours, 2)]
  assert min(distances) > 40
  assert np.abs(np.diff(colours, axis=0)).sum(1).min() > 150


def test_a_box_is_drawn_in_its_categorys_colour_and_the_rest_is_left():
  picture = draw_detections(GREY, [[100, 200, 300, 400]], [7], [0.93], None, NAMES)
  assert picture.shape == GREY.shape
  for y, x in ((300, 100), (300, 299), (399, 200)):
    assert tuple(picture[y, x]) == colour(7)
  assert tuple(picture[300, 200]) == (128, 128, 128)
  assert (picture[:150] == 128).all()
  label = picture[182:199, 100:150]
  assert (label == colour(7)).all(-1).any() and (label.sum(-1) < 200).any()  # ink on the colour


def test_a_mask_is_translucent_with_an_outline():
  mask = np.zeros((1, 480, 640), bool)
  mask[0, 250:350, 150:250] = True
  picture = draw_detections(GREY, [[150, 250, 250, 350]], [8], None, mask, NAMES)
  inside = picture[300, 200].astype(int)
  assert (np.abs(inside - 128) < np.abs(np.asarray(colour(8)) - 128)).any()
  assert tuple(inside) != (128, 128, 128)
  assert tuple(picture[300, 150]) == colour(8)


def test_small_images_are_enlarged_by_a_whole_number():
  image = np.zeros((96, 128, 3), np.uint8)
  assert draw_detections(image, np.zeros((0, 4)), [], None, None, {}).shape == (384, 512, 3)
  mask = np.zeros((1, 96, 128), bool)
  mask[0, 40:60, 40:60] = True
  picture = draw_detections(image, [[40, 40, 60, 60]], [7], None, mask, NAMES)
  assert tuple(picture[200, 160]) == colour(7)
  assert picture[200, 200].any() and not picture[300, 300].any()


def test_labels_stay_in_the_image_and_do_not_cover_each_other():
  boxes = [[0, 0, 60, 40], [600, 0, 640, 40], [0, 440, 20, 480], [0, 0, 62, 42]]
  picture = draw_detections(GREY, boxes, [7, 8, 8, 8], [1.0, 0.9, 0.8, 0.7], None, NAMES)
  assert (picture == colour(8)).all(-1).sum() > 3000  # three whole rectangles
  assert (picture == colour(7)).all(-1).sum() > 500


def test_odd_boxes_do_no_harm():
  boxes = [[10, 10, 10, 10], [-50, -50, 900, 900], [700, 500, 710, 510]]
  masks = np.zeros((3, 480, 640), bool)
  assert draw_detections(GREY, boxes, [7, 7, 7], [0.5, 0.5, 0.5], masks, NAMES).shape == GREY.shape


def test_sheets():
  small = np.full((50, 60, 3), 10, np.uint8)
  sheet = contact_sheet([GREY, small, GREY], ['a', 'b', 'c'], columns=2)
  assert sheet.shape[0] > 2 * 480 and sheet.shape[1] > 2 * 640
  assert (sheet == 10).all(-1).sum() == 50 * 60
  pair = side_by_side(GREY, GREY, ('left', 'right'))
  assert (pair == 128).all(-1).sum() >= 2 * 480 * 640


def test_the_outline_of_a_mask_is_as_wide_as_a_line_all_around():
  mask = np.zeros((1, 480, 640), bool)
  mask[0, 0:101, 50:121] = True  # at the picture's edge, where it has an outline too
  picture = draw_detections(GREY, np.zeros((0, 4)), [], None, [], NAMES)
  assert (picture == GREY).all()
  picture = draw_detections(GREY, [[50, 0, 121, 101]], [8], None, mask, {8: ''})
  outline = (picture == colour(8)).all(-1)
  np.testing.assert_array_equal(np.flatnonzero(outline[60, :130]), [50, 51, 119, 120])
  np.testing.assert_array_equal(np.flatnonzero(outline[30:, 90]), [69, 70])


def test_very_large_pictures_are_drawn_smaller():
  assert drawn_size(4000, 6000) == (4000, 6000)
  assert drawn_size(1, 70_000) == (1, 32_000) and drawn_size(70_000, 1) == (32_000, 1)
  height, width = drawn_size(12_000, 9_000)
  assert 49e6 < height * width <= 50e6 and height / width == pytest.approx(4 / 3, rel=1e-3)


@pytest.mark.parametrize('size', [(1, 70_000), (70_000, 1), (1, 1), (50, 10_000)])
def test_every_shape_can_be_drawn_and_saved_beside_another(tmp_path, size):
  image, whole = np.zeros((*size, 3), np.uint8), [[0, 0, size[1], size[0]]]
  picture = draw_detections(image, whole, [7], [0.5], np.ones((1, *size), bool), NAMES)
  for name, drawn in (('one', picture), ('two', side_by_side(picture, picture, ('a', 'b')))):
    Image.fromarray(drawn).save(tmp_path / f'{name}.jpg')
  map_of_it = draw_map(image, np.ones(size, int), {1: (9, 9, 9)})
  Image.fromarray(map_of_it).save(tmp_path / 'map.jpg')


def test_boxes_and_masks_lie_on_their_objects_in_a_smaller_drawing(monkeypatch):
  monkeypatch.setattr(draw, 'LONGEST_SIDE', 500)
  image = np.full((1000, 2000, 3), 128, np.uint8)
  mask = np.zeros((1, 1000, 2000), bool)
  mask[0, 400:800, 1200:1600] = True
  picture = draw_detections(image, [[1200, 400, 1600, 800]], [8], None, mask, {8: ''})
  assert picture.shape == (250, 500, 3)
  changed = (picture != 128).any(-1)
  assert changed[100:200, 300:400].all()
  changed[95:205, 295:405] = False  # a name's rectangle is above
  assert changed[100:].sum() == 0
  values = draw_map(image, mask[0].astype(int), {1: (255, 255, 255)})
  np.testing.assert_array_equal((values != 128).any(-1).nonzero()[0][[0, -1]], [99, 199])
