"""Computes PASCAL VOC's average precision, as Detectron2's PascalVOCDetectionEvaluator.

A detection is compared only with the object of its image and category with the highest IoU. It is a true positive if
the IoU is above the threshold and no detection with a better score matched this object; a second detection of an object
is a false positive, even if another object would match. A detection that matches a difficult object is ignored;
difficult objects do not count for recall.

VOC's IoU is of boxes whose last pixel is inside, with width xmax - xmin + 1. With the edges of `annotations.voc_folder`
this is the usual IoU. Detectron2 rounds scores to three decimals and boxes to one; here nothing is rounded.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from jaxdet.evaluation.average_precision import MatchedDetections, mean, overlaps
from jaxdet.evaluation.ground_truth import GroundTruth
from jaxdet.evaluation.matching import IGNORED, MATCHED, UNMATCHED
from jaxdet.evaluation.selection import DetectionTable, Protocol

IOU_THRESHOLDS = np.arange(50, 100, 5) / 100
ELEVEN_RECALLS = np.arange(0.0, 1.1, 0.1)  # includes 0.30000000000000004, as upstream


@dataclasses.dataclass(frozen=True)
class VocScores:
  """Scores for T = 10 IoU thresholds and K categories; NaN for categories without objects. Interface of `Scores`."""

  area: Float[np.ndarray, 'T K']  # AP: the area under precision by recall (VOC2010 and later)
  eleven: Float[np.ndarray, 'T K']  # AP: the mean of precision at eleven recalls (VOC2007)
  recall: Float[np.ndarray, 'T K']
  matched: MatchedDetections
  protocol: Protocol

  groups = ('',)

  @property
  def frequencies(self) -> tuple[str, ...]:
    return ('',) * self.area.shape[1]

  def members(self, group: str) -> Int[np.ndarray, 'K']:
    """All categories: VOC has no groups."""
    return np.arange(self.area.shape[1])

  def summary(self) -> dict[str, float | None]:
    """AP by area, by eleven recalls ('_11'), and recall, as fractions; None without objects."""
    result = {}
    for suffix, values in (('', self.area), ('_11', self.eleven)):
      result |= {f'AP{suffix}': mean(values), f'AP50{suffix}': mean(values[0]), f'AP75{suffix}': mean(values[5])}
    return result | {self.protocol.recall_name(): mean(self.recall)}

  def per_category(self) -> dict[str, list[float | None]]:
    """Metrics of each category."""
    columns = {'AP50_11': self.eleven[:1], 'AP50': self.area[:1], 'AP': self.area, 'AR': self.recall}
    return {name: [mean(values[:, k]) for k in range(values.shape[1])] for name, values in columns.items()}


def voc_average_precision(truth: GroundTruth, columns: DetectionTable, protocol: Protocol, iou_type: str) -> VocScores:
  """Computes precision and recall of boxes.

  Objects with 'ignore', and COCO's crowds, are difficult. Of equal scores the first in the results comes first, of
  equal IoUs the first object in the annotations.

  Raises:
    ValueError: `iou_type` is not 'bbox'.
  """
  if iou_type != 'bbox':
    raise ValueError(f"'{iou_type}' has no metrics by eval.protocol 'voc': set eval.iou_types to ('bbox',)")
  detections = np.lexsort((-columns.scores, columns.image, columns.label))
  objects = np.lexsort((truth.image, truth.label))
  difficult = truth.ignore | truth.crowd
  pair = truth.pairs(columns.image, columns.label)[detections]
  object_pair = truth.pairs(truth.image, truth.label)[objects]
  start, end = (np.searchsorted(object_pair, pair, side) for side in ('left', 'right'))
  rows = np.flatnonzero(end > start)
  start, count = start[rows], (end - start)[rows]
  ious = overlaps(truth, columns, iou_type, detections[rows], objects, start, count, np.zeros_like(difficult))
  best, best_iou = most_overlapped(ious, start, count)
  state = np.full((len(detections), len(IOU_THRESHOLDS)), UNMATCHED, np.uint8)
  state[detections[rows]] = match_most_overlapped(best, best_iou, difficult[objects[best]])

  num_categories = len(truth.categories)
  num_objects = np.bincount(truth.label[~difficult], minlength=num_categories)
  area, eleven, recall = (np.full((len(IOU_THRESHOLDS), num_categories), np.nan) for _ in range(3))
  order = np.lexsort((-columns.scores, columns.label))
  bounds = np.searchsorted(columns.label[order], np.arange(num_categories + 1))
  for k in np.flatnonzero(num_objects):
    found = state[order[bounds[k] : bounds[k + 1]]].T
    area[:, k], eleven[:, k] = voc_precision(found, num_objects[k])
    recall[:, k] = (found == MATCHED).sum(1) / num_objects[k]
  counts = state[:, 0] != IGNORED
  matched = MatchedDetections(columns.label[counts], columns.scores[counts], state[counts, 0] == MATCHED, num_objects)
  return VocScores(area, eleven, recall, matched, protocol)


def most_overlapped(
  ious: Float[np.ndarray, 'I'], start: Int[np.ndarray, 'D'], count: Int[np.ndarray, 'D']
) -> tuple[Int[np.ndarray, 'D'], Float[np.ndarray, 'D']]:
  """Object with the highest IoU for each detection, the first of equals, and the IoU.

  Args:
    ious: IoUs of each detection with objects `start` .. `start + count`, count > 0, concatenated over detections.
  """
  if not len(count):
    return start, ious
  first = np.cumsum(count) - count
  highest = np.maximum.reduceat(ious, first)
  place = np.flatnonzero(ious == np.repeat(highest, count))
  place = place[np.searchsorted(place, first)]
  return start + place - first, highest


def match_most_overlapped(
  best: Int[np.ndarray, 'D'], iou: Float[np.ndarray, 'D'], difficult: Bool[np.ndarray, 'D']
) -> UInt8[np.ndarray, 'D T']:
  """Matches detections at each IoU threshold: UNMATCHED, MATCHED or IGNORED.

  Args:
    best: object with the highest IoU for each detection; detections of an object are in order of score.
    iou: this IoU.
    difficult: True if this object is difficult.
  """
  result = np.full((len(best), len(IOU_THRESHOLDS)), UNMATCHED, np.uint8)
  for t, threshold in enumerate(IOU_THRESHOLDS):
    enough = iou > threshold
    result[enough & difficult, t] = IGNORED
    hits = np.flatnonzero(enough & ~difficult)
    _, first = np.unique(best[hits], return_index=True)
    result[hits[first], t] = MATCHED
  return result


def voc_precision(
  state: UInt8[np.ndarray, 'T n'], num_objects: int
) -> tuple[Float[np.ndarray, 'T'], Float[np.ndarray, 'T']]:
  """AP by area and by eleven recalls, from detections by descending score."""
  true = np.cumsum(state == MATCHED, axis=1)
  false = np.cumsum(state == UNMATCHED, axis=1)
  recall = true / num_objects
  precision = true / np.maximum(true + false, 1)  # the first detections may be ignored
  envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
  area = (np.diff(recall, axis=1, prepend=0) * envelope).sum(1)
  envelope = np.pad(envelope, ((0, 0), (0, 1)))  # past the last detection
  at = np.stack([np.searchsorted(row, ELEVEN_RECALLS) for row in recall])
  return area, np.take_along_axis(envelope, at, axis=1).mean(1)
