"""Selects the detections of a results file that are evaluated.

COCO keeps the 100 best of an image and category. LVIS keeps the 300 best of an image over all categories, and of these
only categories that are annotated in the image as present or absent (Gupta et al. 2019, "LVIS: a dataset for large
vocabulary instance segmentation": federated data sets). Fixed AP (Dave et al. 2021, "Evaluating large-vocabulary object
detectors: the devil is in the details") keeps all of an image, and the 10,000 best of each category over the whole
split. VOC keeps all.

Limits are applied before the federated filter, as in the `lvis` package and in the authors' evaluation of fixed AP: a
detection of a pair that is not evaluated still counts towards the limit.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from pycocotools import mask as rle_codec

from jaxdet.evaluation.ground_truth import GroundTruth, positions
from jaxdet.evaluation.result_table import ResultTable, read_table


@dataclasses.dataclass(frozen=True)
class Protocol:
  name: str
  federated: bool  # LVIS's selection; else COCO's, with crowds, or VOC's
  # Largest number of detections per image: over all categories (LVIS) or in each (COCO); math.inf: all.
  limits: tuple[float, ...]
  category_limit: float = math.inf  # largest number of detections of a category over the whole split

  def recall_name(self, group: str = '', limit: float | None = None) -> str:
    """Name of recall, such as 'AR@300', 'ARr@300' or, without a limit per image, 'ARr'; limit None: the last."""
    limit = self.limits[-1] if limit is None else limit
    return f'AR{group}' if math.isinf(limit) else f'AR{group}@{limit}'


PROTOCOLS = {
  'lvis': Protocol('lvis', True, (300,)),
  'coco': Protocol('coco', False, (1, 10, 100)),
  'lvis_fixed': Protocol('lvis_fixed', True, (math.inf,), 10_000),
  'voc': Protocol('voc', False, (math.inf,)),
  'proposals': Protocol('proposals', False, (100, 300, 1000)),  # COCO's rules, all categories taken for one
}


@dataclasses.dataclass(frozen=True)
class DetectionTable:
  """Detections of known images and categories that can be evaluated, in the order of the results."""

  image: Int[np.ndarray, 'N']
  label: Int[np.ndarray, 'N']
  scores: Float[np.ndarray, 'N']
  boxes: Float[np.ndarray, 'N 4']  # (x, y, width, height)
  masks: list[bytes | None]  # COCO's compressed counts; None for a box without a mask
  mask_sizes: Int[np.ndarray, 'N 2']  # (height, width)
  areas: dict[str, Float[np.ndarray, 'N']]  # of 'bbox' and, if all have masks, of 'segm'

  def mask(self, i: int) -> dict:
    """Run lengths of a detection in the format of pycocotools."""
    return {'size': self.mask_sizes[i].tolist(), 'counts': self.masks[i]}


def read_for(truth: GroundTruth, records: Iterable[Any], protocol: Protocol, source: str = 'results') -> ResultTable:
  """Reads all records into columns, with only the masks that the protocol needs; see `read_table`."""
  return read_table(records, truth, judged_pairs(truth) if protocol.federated else None, source)


def select(truth: GroundTruth, table: ResultTable, protocol: Protocol) -> DetectionTable:
  """Selects the detections that are evaluated.

  Records of images or categories that are not in the ground truth are left out; `diagnose` reports them.
  """
  scores = table.scores
  image = positions(table.image_ids, truth.image_ids)
  label = positions(table.category_ids, np.asarray([category.id for category in truth.categories], np.int64))
  keep = image >= 0
  if protocol.federated and protocol.limits[-1] < math.inf:
    keep &= rank_in_group(image, scores) < protocol.limits[-1]
  if protocol.category_limit < math.inf:
    known = np.flatnonzero(keep)
    keep[known] = rank_in_group(label[known], scores[known]) < protocol.category_limit
  keep &= label >= 0
  if protocol.federated:
    keep &= np.isin(truth.pairs(image, label), judged_pairs(truth))
  kept = np.flatnonzero(keep)
  boxes, masks = table.boxes[kept], [table.masks[i] for i in kept.tolist()]
  columns = DetectionTable(image[kept], label[kept], scores[kept], boxes, masks, table.mask_sizes[kept], {})
  # One by one: given more than 255 masks at once, pycocotools 2.0.x fails.
  mask_areas = np.asarray(
    [np.nan if mask is None else rle_codec.area(columns.mask(i)) for i, mask in enumerate(masks)], np.float64
  )
  columns.areas['bbox'] = boxes[:, 2] * boxes[:, 3]
  for i in np.flatnonzero(np.isnan(boxes).any(1)):
    boxes[i], columns.areas['bbox'][i] = rle_codec.toBbox(columns.mask(i)), mask_areas[i]
  if not np.isnan(mask_areas).any():
    columns.areas['segm'] = mask_areas
  return columns


def rank_in_group(group: Int[np.ndarray, 'N'], scores: Float[np.ndarray, 'N']) -> Int[np.ndarray, 'N']:
  """Rank of each row in its group by descending score, from 0; of equal scores the earlier row comes first."""
  order = np.lexsort((-scores, group))
  _, start, count = np.unique(group[order], return_index=True, return_counts=True)
  rank = np.empty(len(group), np.int64)
  rank[order] = np.arange(len(group)) - np.repeat(start, count)
  return rank


def judged_pairs(truth: GroundTruth) -> Int[np.ndarray, 'P']:
  """Pairs of image and category that LVIS annotates as present or absent."""
  if truth.negative is None:
    raise ValueError(
      f"{truth.source}: not every image has 'neg_category_ids', which the lvis protocol needs; "
      "for COCO files set eval.protocol to 'coco'"
    )
  present = truth.areas > 0  # LVIS ignores objects without area
  return np.union1d(truth.negative, truth.pairs(truth.image, truth.label)[present])
