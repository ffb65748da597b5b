"""Computes average precision and recall as the `lvis` 0.5.3 and `pycocotools` packages, to the last digit.

All protocols use the same code; `selection` chooses the detections that take part. COCO's crowds may be matched any
number of times and never count. LVIS has no crowds; it ignores unmatched detections of categories that are not
annotated exhaustively in the image.

Files may have objects with only a box among objects with masks, which the packages cannot evaluate. For 'segm' such a
box is an ignored region, like a crowd of COCO: it counts neither as found nor as missed, and detections in it do not
count.
"""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as rle_codec

from jaxdet.evaluation.ground_truth import GroundTruth, run_lengths
from jaxdet.evaluation.matching import IGNORED, MATCHED, UNMATCHED, box_ious, mask_ious, match
from jaxdet.evaluation.selection import DetectionTable, Protocol, rank_in_group

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS = {'all': (0.0, 1e10), 's': (0.0, 32.0**2), 'm': (32.0**2, 96.0**2), 'l': (96.0**2, 1e10)}  # pixels squared
PART = 2**17  # detections compared at once: there may be millions


@dataclasses.dataclass(frozen=True)
class MatchedDetections:
  """The N detections that count at IoU 0.5, of all sizes, without ignored ones."""

  label: Int[np.ndarray, 'N']
  score: Float[np.ndarray, 'N']
  true_positive: Bool[np.ndarray, 'N']  # matched with an object; else a false positive
  num_objects: Int[np.ndarray, 'K']  # counted objects of each category


@dataclasses.dataclass(frozen=True)
class Scores:
  """Scores for T = 10 IoU thresholds, R = 101 recalls, K categories, A = 4 areas, M limits; NaN without objects."""

  precision: Float[np.ndarray, 'T R K A']
  recall: Float[np.ndarray, 'T K A M']
  matched: MatchedDetections
  protocol: Protocol
  frequencies: tuple[str, ...]

  def summary(self) -> dict[str, float | None]:
    """Metrics of the protocol as fractions, by upstream's names; None for a group without objects."""
    area = {name: i for i, name in enumerate(AREAS)}
    precision, limits = self.precision, self.protocol.limits
    recall_name = self.protocol.recall_name
    result = {
      'AP': mean(precision[..., 0]),
      'AP50': mean(precision[0, ..., 0]),
      'AP75': mean(precision[5, ..., 0]),
    }
    result |= {f'AP{name}': mean(precision[..., area[name]]) for name in 'sml'}
    if self.protocol.federated:
      result |= {f'AP{name}': mean(precision[:, :, self.members(name), 0]) for name in 'rcf'}
    result |= {recall_name('', limit): mean(self.recall[:, :, 0, i]) for i, limit in enumerate(limits)}
    result |= {recall_name(name): mean(self.recall[:, :, area[name], -1]) for name in 'sml'}
    return result

  @property
  def groups(self) -> tuple[str, ...]:
    """Groups: '' for all categories, and LVIS's frequency groups if the protocol has them."""
    return ('', 'r', 'c', 'f') if self.protocol.federated else ('',)

  def members(self, group: str) -> Int[np.ndarray, 'k']:
    """Labels of the categories of a group."""
    return np.flatnonzero([group in ('', frequency) for frequency in self.frequencies])

  def per_category(self) -> dict[str, list[float | None]]:
    """Metrics of each category."""
    columns = {'AP': self.precision[..., 0], 'AR': self.recall[:, :, 0, -1]}
    return {name: [mean(values[..., k]) for k in range(values.shape[-1])] for name, values in columns.items()}


def mean(values: Float[np.ndarray, '...']) -> float | None:
  present = values[~np.isnan(values)]
  return float(present.mean()) if present.size else None


def average_precision(truth: GroundTruth, columns: DetectionTable, protocol: Protocol, iou_type: str) -> Scores:
  """Computes precision and recall of 'bbox' or 'segm'.

  Areas of detections are those of boxes or of masks; areas of objects are the file's for both.

  Raises:
    ValueError: 'segm' for detections without masks, or where no object has one.
  """
  if iou_type not in ('bbox', 'segm'):
    raise ValueError(f"'{iou_type}' cannot be evaluated: choose 'bbox' and 'segm'")
  if iou_type not in columns.areas:
    raise ValueError(f"'{iou_type}' cannot be evaluated: there are results without a segmentation")
  area = columns.areas[iou_type]
  # By category, then image, then score. Of equal IoUs upstream takes the last object of the file, `match` the first:
  # so objects are in reverse order.
  detections = np.lexsort((-columns.scores, columns.image, columns.label))
  objects = np.lexsort((-np.arange(len(truth.image)), truth.image, truth.label))
  if protocol.federated:
    detections = detections[area[detections] > 0]
    objects = objects[truth.areas[objects] > 0]
    skip, crowd = truth.ignore, np.zeros_like(truth.crowd)
  else:
    skip = crowd = truth.crowd
  if iou_type == 'segm':
    if len(truth.image) and not truth.has_mask.any():
      raise ValueError(f"{truth.source} has no object with a mask: set eval.iou_types to ('bbox',)")
    skip, crowd = skip | ~truth.has_mask, crowd | ~truth.has_mask
  pair = truth.pairs(columns.image, columns.label)[detections]
  rank = rank_in_group(pair, columns.scores[detections])
  detections, pair, rank = (column[rank < protocol.limits[-1]] for column in (detections, pair, rank))
  ignore = skip[objects, None] | outside_areas(truth.areas[objects])

  object_pair = truth.pairs(truth.image, truth.label)[objects]
  start, end = (np.searchsorted(object_pair, pair, side) for side in ('left', 'right'))
  rows = np.flatnonzero(end > start)
  count = (end - start)[rows]
  ious = overlaps(truth, columns, iou_type, detections[rows], objects, start[rows], count, crowd)
  state = np.full((len(detections), len(IOU_THRESHOLDS), len(AREAS)), UNMATCHED, np.uint8)
  state[rows] = match(ious, pair[rows], start[rows], count, ignore, crowd[objects], IOU_THRESHOLDS)
  unjudged = outside_areas(area[detections])
  if protocol.federated:
    unjudged |= np.isin(pair, truth.not_exhaustive)[:, None]
  state[(state == UNMATCHED) & unjudged[:, None]] = IGNORED

  num_categories = len(truth.categories)
  precision = np.full((len(IOU_THRESHOLDS), len(RECALLS), num_categories, len(AREAS)), np.nan)
  recall = np.full((len(IOU_THRESHOLDS), num_categories, len(AREAS), len(protocol.limits)), np.nan)
  bounds = np.searchsorted(columns.label[detections], np.arange(num_categories + 1))
  object_bounds = np.searchsorted(truth.label[objects], np.arange(num_categories + 1))
  for k in range(num_categories):
    order = bounds[k] + np.argsort(-columns.scores[detections[bounds[k] : bounds[k + 1]]], kind='stable')
    counted = (~ignore[object_bounds[k] : object_bounds[k + 1]]).sum(0)
    for a in np.flatnonzero(counted):
      found = state[order, :, a].T  # [T, n]
      precision[:, :, k, a] = interpolated_precision(found, counted[a])
      for m, limit in enumerate(protocol.limits):
        recall[:, k, a, m] = ((found == MATCHED) & (rank[order] < limit)).sum(1) / counted[a]
  counts = np.flatnonzero(state[:, 0, 0] != IGNORED)
  matched = MatchedDetections(
    columns.label[detections[counts]],
    columns.scores[detections[counts]],
    state[counts, 0, 0] == MATCHED,
    np.bincount(truth.label[objects[~ignore[:, 0]]], minlength=num_categories),
  )
  return Scores(precision, recall, matched, protocol, tuple(category.frequency for category in truth.categories))


def interpolated_precision(state: Int[np.ndarray, 'T n'], num_objects: int) -> Float[np.ndarray, 'T R']:
  """Best precision at recall >= R, from detections by descending score; 0 if the recall is not reached."""
  true = np.cumsum(state == MATCHED, axis=1)
  false = np.cumsum(state == UNMATCHED, axis=1)
  precision = true / (false + true + np.spacing(1))
  envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
  envelope = np.pad(envelope, ((0, 0), (0, 1)))  # past the last detection
  at = [np.searchsorted(row, RECALLS) for row in true / num_objects]
  return np.take_along_axis(envelope, np.stack(at), axis=1)


def outside_areas(areas: Float[np.ndarray, 'N']) -> Bool[np.ndarray, 'N A']:
  low, high = np.asarray(list(AREAS.values())).T
  return (areas[:, None] < low) | (areas[:, None] > high)


def overlaps(
  truth: GroundTruth,
  columns: DetectionTable,
  iou_type: str,
  detections: Int[np.ndarray, 'D'],
  objects: Int[np.ndarray, 'G'],
  start: Int[np.ndarray, 'D'],
  count: Int[np.ndarray, 'D'],
  crowd: Bool[np.ndarray, 'G0'],
) -> Float[np.ndarray, 'I']:
  """Each detection's IoUs with objects[start : start + count], one detection after the other."""
  parts = [np.zeros(0)]
  if iou_type == 'bbox':
    for begin in range(0, len(detections), PART):
      part = slice(begin, begin + PART)
      step = np.arange(count[part].sum()) - np.repeat(np.cumsum(count[part]) - count[part], count[part])
      other = objects[np.repeat(start[part], count[part]) + step]
      boxes = columns.boxes[np.repeat(detections[part], count[part])]
      parts.append(box_ious(boxes, truth.boxes[other], crowd[other]))
    return np.concatenate(parts)
  first = np.flatnonzero(np.diff(start, prepend=-1))  # detections of one pair are adjacent
  for begin, end in itertools.pairwise([*first, len(detections)]):
    others = objects[start[begin] : start[begin] + count[begin]]
    masks = [columns.mask(i) for i in detections[begin:end]]
    parts.append(mask_ious(masks, [object_mask(truth, i) for i in others], crowd[others]))
  return np.concatenate(parts)


def object_mask(truth: GroundTruth, index: int) -> dict:
  """Run lengths of an object's mask, or of its box if it has none."""
  size = truth.image_sizes[truth.image[index]].tolist()
  if truth.segmentations[index] is None:
    return rle_codec.frPyObjects(truth.boxes[index : index + 1], *size)[0]
  return run_lengths(truth.segmentations[index], *size)
