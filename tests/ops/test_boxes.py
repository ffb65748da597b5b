"""Areas, clipping and the least side of boxes."""

import jax.numpy as jnp
import numpy as np

from jaxdet.ops import boxes
from parity_kit import case


def test_area_is_width_times_height():
  assert boxes.area(jnp.array([[2.0, 3.0, 5.0, 7.5], [0, 0, 0, 0]])).tolist() == [13.5, 0.0]


def test_corners_beyond_the_image_move_to_its_border():
  outside = jnp.array([[-4.0, 10.0, 300.0, 50.0], [20.0, -1.0, 30.0, 200.0]])
  assert boxes.clip(outside, (100, 256)).tolist() == [[0, 10, 256, 50], [20, 0, 30, 100]]


def test_class_specific_boxes_are_clipped_alike():
  per_class = jnp.full((3, 5, 4), 1000.0)
  assert boxes.clip(per_class, jnp.array([100, 256]))[2, 4].tolist() == [256, 100, 256, 100]


def test_sides_must_be_strictly_longer():
  candidates = jnp.array([[0.0, 0, 4, 5], [0, 0, 5, 4], [0, 0, 4.5, 4.5]])
  assert boxes.nonempty(candidates, 4.0).tolist() == [False, False, True]
  assert not boxes.nonempty(jnp.zeros((1, 4)), 0.0).any()


def test_clipping_is_detectron2s():
  arrays, _ = case('ops/d2_boxes')
  clipped = boxes.clip(jnp.asarray(arrays['clip_in']), (192, 256))
  np.testing.assert_array_equal(clipped, arrays['clip_out'])
  np.testing.assert_array_equal(boxes.nonempty(jnp.asarray(arrays['clip_out']), 4.0), arrays['nonempty'])


def test_corners_and_centres_are_two_forms_of_a_box():
  box = jnp.array([0.5, 0.25, 0.5, 0.25])
  assert boxes.cxcywh_to_xyxy(box).tolist() == [0.25, 0.125, 0.75, 0.375]
  assert boxes.xyxy_to_cxcywh(boxes.cxcywh_to_xyxy(box)).tolist() == box.tolist()
