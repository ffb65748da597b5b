"""Instances and stuff as one label a pixel, by hand."""

import numpy as np

from jaxdet.ops.panoptic_merge import Segment, merge

SETTINGS = {'score_threshold': 0.5, 'overlap': 0.5, 'stuff_area': 3}


def window(y, x, height, width):
  return np.ones((height, width), bool), (y, x)


def merged(masks, scores, semantic, labels=None, **changes):
  labels = np.arange(len(masks)) if labels is None else labels
  return merge(masks, np.array(scores), labels, np.asarray(semantic), **SETTINGS | changes)


def test_the_better_instance_takes_the_shared_pixels():
  ids, segments = merged([window(0, 0, 1, 3), window(0, 2, 1, 3)], [0.7, 0.9], np.zeros((1, 6), int))
  np.testing.assert_array_equal(ids, [[2, 2, 1, 1, 1, 0]])
  assert segments == [Segment(1, True, 1, 0.9, 3), Segment(2, True, 0, 0.7, 2)]


def test_an_instance_of_which_more_than_the_share_is_taken_is_left_out():
  masks = [window(0, 0, 1, 4), window(0, 1, 1, 4), window(0, 2, 1, 4)]  # 3 of 4 taken; 2 of 4 is not more than half
  ids, segments = merged(masks, [0.9, 0.8, 0.7], np.zeros((1, 6), int))
  np.testing.assert_array_equal(ids, [[1, 1, 1, 1, 2, 2]])
  assert [segment.label for segment in segments] == [0, 2]


def test_instances_below_the_threshold_and_empty_ones_are_left_out():
  masks = [window(0, 0, 1, 2), (np.zeros((0, 0), bool), (0, 0)), window(0, 3, 1, 2)]
  ids, segments = merged(masks, [0.5, 0.9, 0.49], np.zeros((1, 5), int))
  np.testing.assert_array_equal(ids, [[1, 1, 0, 0, 0]])
  assert len(segments) == 1


def test_stuff_gets_free_pixels_if_they_are_enough():
  semantic = [[0, 4, 4, 4, 4], [2, 2, 2, 9, 9]]
  ids, segments = merged([window(0, 0, 1, 2)], [0.9], semantic)
  np.testing.assert_array_equal(ids, [[1, 1, 3, 3, 3], [2, 2, 2, 0, 0]])
  assert segments[1:] == [Segment(2, False, 2, 1.0, 3), Segment(3, False, 4, 1.0, 3)]
  ids, segments = merged([window(0, 0, 1, 3)], [0.9], semantic)  # two pixels are left of class 4
  np.testing.assert_array_equal(ids, [[1, 1, 1, 0, 0], [2, 2, 2, 0, 0]])


def test_things_of_the_semantic_map_alone_are_no_segment():
  ids, segments = merged([], [], np.zeros((2, 4), int))
  assert not ids.any() and segments == []
