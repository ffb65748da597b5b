"""Fast suppression: by hand, and against the definition box by box."""

import jax
import numpy as np

from jaxdet.ops.fast_nms import fast_nms
from jaxdet.ops.iou import pairwise_iou

BOXES = np.float32([[0, 0, 10, 10], [0, 4, 10, 14], [0, 8, 10, 18], [50, 50, 60, 60]])


def kept(boxes, scores, iou=0.3, score=0.05, per_class=10, k=10):
  """(row, label) of the survivors, best first."""
  found = jax.jit(fast_nms, static_argnums=(2, 3, 4, 5))(boxes, np.float32(scores), iou, score, per_class, k)
  return [
    (int(row), int(label)) for row, label, valid in zip(found.index, found.labels, found.valid, strict=True) if valid
  ]


def test_a_box_that_is_dropped_drops_others():
  # Each overlaps the one before by 0.43; greedy suppression would keep the third.
  assert kept(BOXES, [[0.9], [0.8], [0.7], [0.6]]) == [(0, 0), (3, 0)]


def test_classes_do_not_suppress_each_other_and_the_best_of_all_are_kept():
  scores = [[0.9, 0.2], [0.1, 0.8], [0.0, 0.05], [0.6, np.nan]]
  assert kept(BOXES, scores) == [(0, 0), (1, 1), (3, 0)]  # a score at the threshold is none
  assert kept(BOXES, scores, k=2) == [(0, 0), (1, 1)]


def test_only_the_best_of_a_class_take_part():
  assert kept(BOXES, [[0.9], [0.8], [0.7], [0.6]], per_class=3) == [(0, 0)]


def test_survivors_are_those_of_the_definition():
  rng = np.random.default_rng(0)
  corners = rng.uniform(0, 60, (80, 2))
  boxes = np.concatenate([corners, corners + rng.uniform(5, 30, (80, 2))], 1).astype(np.float32)
  scores = rng.random((80, 3), np.float32)
  overlap = np.asarray(pairwise_iou(boxes, boxes)) > 0.5
  expected = set()
  for label in range(3):
    order = np.argsort(-scores[:, label])[:40]
    for position, row in enumerate(order):
      if scores[row, label] > 0.2 and not overlap[row, order[:position]].any():
        expected.add((int(row), label))
  found = kept(boxes, scores, 0.5, 0.2, 40, 200)
  assert set(found) == expected and len(found) == len(expected) > 20
