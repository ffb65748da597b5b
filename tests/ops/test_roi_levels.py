"""The pyramid level of a RoI: by hand, and as Detectron2 and mmdetection choose it."""

import numpy as np

from jaxdet.ops.roi_levels import roi_levels
from parity_kit import case


def square(side):
  return [0, 0, side, side]


def test_a_level_for_each_doubling():
  boxes = np.array([square(s) for s in (1, 111, 112, 223, 224, 447, 448, 5000)], np.float32)
  np.testing.assert_array_equal(roi_levels(boxes, min_level=2, max_level=5), [2, 2, 3, 3, 4, 4, 5, 5])


def test_area_counts_not_the_longer_side():
  boxes = np.array([[10, 0, 410, 25]], np.float32)  # 400 x 25, as much as 100 x 100
  assert roi_levels(boxes, min_level=2, max_level=5)[0] == 2


def test_canonical_size_and_level():
  boxes = np.array([square(s) for s in (27, 28, 56, 112)], np.float32)
  levels = roi_levels(boxes, min_level=2, max_level=6, canonical_size=56, canonical_level=4)
  np.testing.assert_array_equal(levels, [2, 3, 4, 5])


def test_empty_and_flipped_boxes_go_to_the_first_level():
  boxes = np.array([[0, 0, 0, 0], [5, 5, 5, 9], [9, 0, 1, 8]], np.float32)
  np.testing.assert_array_equal(roi_levels(boxes, min_level=3, max_level=7), [3, 3, 3])


def test_equals_detectron2():
  arrays, _ = case('ops/d2_fpn_levels')
  np.testing.assert_array_equal(roi_levels(arrays['boxes'], min_level=2, max_level=5) - 2, arrays['levels_2_5'])
  np.testing.assert_array_equal(roi_levels(arrays['boxes'], min_level=3, max_level=5) - 3, arrays['levels_3_5'])


def test_equals_mmdetection():
  arrays, _ = case('ops/roi_levels')
  rois = arrays['map_levels/in/rois'][:, 1:]
  np.testing.assert_array_equal(roi_levels(rois, min_level=2, max_level=5) - 2, arrays['map_levels/levels'])
