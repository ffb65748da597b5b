"""Which detection is which."""

import numpy as np
import pytest

from jaxdet.parity.matching import mask_errors, match_rows, recorded_count, recorded_rows
from small_case import small_case

BOXES = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30], [0, 0, 10, 10.4]], np.float32)
SCORES = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
LABELS = np.array([1, 2, 1, 1])


def test_the_order_of_rows_means_nothing():
  order = np.array([2, 3, 0, 1])
  matches = match_rows(BOXES[order], SCORES[order], LABELS[order], (BOXES, SCORES, LABELS))
  assert matches.rows.tolist() == np.argsort(order).tolist()
  assert (matches.box, matches.score) == (0, 0)


def test_differences_are_the_largest_of_matched_rows():
  moved = BOXES.copy()
  moved[1, 3] += 0.25
  matches = match_rows(moved, SCORES - np.float32([0, 0, 0.01, 0]), LABELS, (BOXES, SCORES, LABELS))
  assert matches.rows.tolist() == [0, 1, 2, 3]
  assert matches.box == pytest.approx(0.25)
  assert matches.score == pytest.approx(0.01, rel=1e-5)


@pytest.mark.parametrize('change', ['label', 'box', 'lost'])
def test_a_row_of_another_class_or_place_is_not_matched(change):
  boxes, labels, count = BOXES.copy(), LABELS.copy(), 4
  if change == 'label':
    labels[1] = 3
  elif change == 'box':
    boxes[1] += 1.5
  else:
    boxes, labels, count = np.delete(boxes, 1, 0), np.delete(labels, 1), 3
  scores = SCORES if count == 4 else np.delete(SCORES, 1)
  matches = match_rows(boxes, scores, labels, (BOXES, SCORES, LABELS))
  assert (matches.rows >= 0).tolist() == [True, False, True, True]
  assert (matches.box, matches.score) == (0, 0)


def test_no_rows_at_all():
  none = np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)
  assert match_rows(BOXES, SCORES, LABELS, none).rows.tolist() == []
  assert match_rows(*none, (BOXES, SCORES, LABELS)).rows.tolist() == [-1, -1, -1, -1]


def test_detectron2s_proposals_have_logits_and_only_the_best_are_recorded():
  arrays = {'proposals1/boxes': BOXES, 'proposals1/scores': np.array([0.0, -1, -2, -3])}
  case = small_case(arrays=arrays, num_proposals=[3, 300])
  _, scores, labels = recorded_rows(case, 'proposals1')
  assert scores[0] == 0.5 and labels.tolist() == [0, 0, 0, 0]
  assert recorded_count(case, 'proposals1') == 300
  assert recorded_rows(small_case('mmdet/a', arrays), 'proposals1')[1][0] == 0.0


def test_masks_are_pasted_and_compared():
  wanted = np.zeros((2, 12, 16), bool)
  wanted[0, 2:10, 4:12] = True
  wanted[1, 2:10, 4:8] = True
  case = small_case(arrays={'det0/masks': np.packbits(wanted)}, mask_shape={'det0/masks': wanted.shape})
  masks = np.ones((2, 28, 28), np.float32)
  boxes = np.array([[0, 0, 1, 1], [4, 2, 12, 10]], np.float32)
  assert mask_errors(case, 'det0', masks, boxes, np.array([1, 1])) == [0.0, pytest.approx(0.5)]
  assert mask_errors(case, 'det0', masks, boxes, np.array([-1, 1])) == [pytest.approx(0.5)]


def test_masks_over_the_image_are_cropped_to_their_boxes_and_compared():
  image = np.zeros((12, 16), bool)
  image[3:9, 4:12] = True
  case = small_case(arrays={'det0/masks': np.packbits(image[None])}, mask_shape={'det0/masks': [1, 12, 16]})
  masks, boxes = np.zeros((1, 12, 16), np.float32), np.array([[4, 3, 12, 9]], np.float32)
  masks[0, 3:9, 4:12] = masks[0, :, 0] = 1  # the column is cropped
  assert mask_errors(case, 'det0', masks, boxes, np.array([0]), over_image=True) == [0.0]
  assert mask_errors(case, 'det0', masks, boxes[:, [0, 1, 0, 3]] + [0, 0, 4, 0], np.array([0]), over_image=True) == [
    pytest.approx(3 / 8)
  ]
