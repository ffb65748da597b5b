"""Rehearses the scoring of a split before there are detections, with objects in their place.

So what cannot be scored is known before training, and which metrics will have a value: AP of large objects has none on
a split without them.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from jaxdet.evaluation.ground_truth import GroundTruth
from jaxdet.evaluation.selection import DetectionTable


def as_detections(truth: GroundTruth, objects: Sequence[int] | Int[np.ndarray, 'N']) -> DetectionTable:
  """Makes right detections of score 1 of some objects; areas of masks are those of boxes."""
  rows = np.asarray(objects, np.int64)
  boxes = truth.boxes[rows]
  area = boxes[:, 2] * boxes[:, 3]
  return DetectionTable(
    image=truth.image[rows],
    label=truth.label[rows],
    scores=np.ones(len(rows)),
    boxes=boxes,
    masks=[None] * len(rows),
    mask_sizes=np.zeros((len(rows), 2), np.int64),
    areas={'bbox': area, 'segm': area},
  )


def one_of_each_category(truth: GroundTruth) -> Int[np.ndarray, 'N']:
  """The first object that counts of every category that has one."""
  counted = np.flatnonzero(~truth.crowd & ~truth.ignore & (truth.areas > 0))
  _, first = np.unique(truth.label[counted], return_index=True)
  return counted[first]
