"""Which detections of a results file take part in the metrics.

COCO keeps the 100 best of an image and category. LVIS keeps the 300 best of an image over all categories,
and of those the ones whose category is annotated in the image as present or absent (Gupta et al. 2019,
"LVIS: a dataset for large vocabulary instance segmentation": federated data sets). Fixed AP (Dave et al. 2021,
"Evaluating large-vocabulary object detectors: the devil is in the details") keeps all of an image, and the 10,000
best of each category over the whole split. VOC keeps all.

The cuts come before the federated filter, as in the `lvis` package and in the authors' evaluation of fixed AP: a
detection that nobody judges takes up a place all the same.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float, Int
from pycocotools import mask as rle_codec

from jaxdet.evaluation.ground_truth import GroundTruth, positions
from jaxdet.evaluation.result_table import ResultTable, read_table


@dataclasses.dataclass(frozen=True)
class Protocol:
  name: str
  federated: bool  # LVIS's rules of who takes part; else COCO's, with crowds, or VOC's
  # Detections of an image, best first: over all categories (LVIS) or in each (COCO); math.inf: all.
  limits: tuple[float, ...]
  category_limit: float = math.inf  # detections of a category over the whole split, best first

  def recall_name(self, group: str = '', limit: float | None = None) -> str:
    """Of the metric, such as 'AR@300', 'ARr@300' or, where nothing limits an image, 'ARr'; limit None: the last."""
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
class Columns:
  """Detections of known images and categories that can be scored, in the order of the results."""

  image: Int[np.ndarray, 'N']
  label: Int[np.ndarray, 'N']
  scores: Float[np.ndarray, 'N']
  boxes: Float[np.ndarray, 'N 4']  # (x, y, width, height)
  masks: list[bytes | None]  # COCO's compressed counts; None where a box is all that is given
  mask_sizes: Int[np.ndarray, 'N 2']  # (height, width)
  areas: dict[str, Float[np.ndarray, 'N']]  # of 'bbox' and, where all have masks, of 'segm'

  def mask(self, i: int) -> dict:
    """The run lengths of a detection as pycocotools takes them."""
    return {'size': self.mask_sizes[i].tolist(), 'counts': self.masks[i]}


def read_columns(truth: GroundTruth, records: Iterable[Mapping], protocol: Protocol) -> Columns:
  """The detections of the results format that take part; see `read_for` and `select`."""
  return select(truth, read_for(truth, records, protocol), protocol)


def read_for(truth: GroundTruth, records: Iterable[Mapping], protocol: Protocol) -> ResultTable:
  """All records in columns, with those masks alone that the protocol may ask for; see `read_table`."""
  return read_table(records, truth, judged_pairs(truth) if protocol.federated else None)


def select(truth: GroundTruth, table: ResultTable, protocol: Protocol) -> Columns:
  """The detections that take part.

  Records of images or categories that the ground truth does not know are left out; `diagnose` names them.
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
  columns = Columns(image[kept], label[kept], scores[kept], boxes, masks, table.mask_sizes[kept], {})
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
  """Each row's place among its group's by descending score, 0 first; of equals the earlier row comes first."""
  order = np.lexsort((-scores, group))
  _, start, count = np.unique(group[order], return_index=True, return_counts=True)
  rank = np.empty(len(group), np.int64)
  rank[order] = np.arange(len(group)) - np.repeat(start, count)
  return rank


def judged_pairs(truth: GroundTruth) -> Int[np.ndarray, 'P']:
  """Pairs of image and category that LVIS annotates: where an object is, or is known not to be."""
  if truth.negative is None:
    raise ValueError(
      f"{truth.source}: not every image has 'neg_category_ids', which the lvis protocol needs; "
      "for COCO files set eval.protocol to 'coco'"
    )
  present = truth.areas > 0  # LVIS does not see objects without area
  return np.union1d(truth.negative, truth.pairs(truth.image, truth.label)[present])
