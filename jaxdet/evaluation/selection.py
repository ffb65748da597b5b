"""Which detections of a results file take part in the metrics.

COCO keeps the 100 best of an image and category. LVIS keeps the 300 best of an image over all categories,
and of those the ones whose category is annotated in the image as present or absent (Gupta et al. 2019,
"LVIS: a dataset for large vocabulary instance segmentation": federated data sets). Fixed AP (Dave et al. 2021,
"Evaluating large-vocabulary object detectors: the devil is in the details") keeps all of an image, and the 10,000
best of each category over the whole split. VOC keeps all.

The cuts come before the federated filter, as in the `lvis` package and in the authors' evaluation of fixed AP: a
detection that nobody judges takes up a place all the same.
"""

import array
import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float, Int
from pycocotools import mask as rle_codec

from jaxdet.evaluation.ground_truth import GroundTruth, positions, run_lengths


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
}


@dataclasses.dataclass(frozen=True)
class Columns:
  """Detections of known images and categories that can be scored, in the order of the results."""

  image: Int[np.ndarray, 'N']
  label: Int[np.ndarray, 'N']
  scores: Float[np.ndarray, 'N']
  boxes: Float[np.ndarray, 'N 4']  # (x, y, width, height)
  masks: list[dict | None]  # run lengths; None where a box is all that is given
  areas: dict[str, Float[np.ndarray, 'N']]  # of 'bbox' and, where all have masks, of 'segm'


def read_columns(truth: GroundTruth, records: Iterable[Mapping], protocol: Protocol) -> Columns:
  """Detections of the results format in columns, after the protocol has chosen those that take part.

  Records of images or categories that the ground truth does not know are left out; `diagnose` names them.

  Raises:
    ValueError: a score is not a number, or a record has neither 'bbox' nor 'segmentation'.
  """
  judged = judged_pairs(truth) if protocol.federated else None
  category_ids = np.asarray([category.id for category in truth.categories], np.int64)
  wanted = None if judged is None else _by_ids(truth, category_ids, judged)
  ids, numbers, masks = array.array('q'), array.array('d'), []  # in few bytes a record: there may be millions
  for record in records:
    try:
      key, box, mask = (record['image_id'], record['category_id']), record.get('bbox'), record.get('segmentation')
      x, y, width, height = (np.nan,) * 4 if box is None else box
      ids.extend(key)
      numbers.extend((record['score'], x, y, width, height))
    except (KeyError, TypeError, ValueError) as error:
      raise ValueError(f'a result has no usable image_id, category_id, score and bbox: {str(record)[:200]}') from error
    if box is None and mask is None:
      raise ValueError(f"a result of image {key[0]} has neither 'bbox' nor 'segmentation'")
    masks.append(mask if wanted is None or key in wanted else None)
  image_ids, label_ids = np.asarray(ids, np.int64).reshape(-1, 2).T
  numbers = np.asarray(numbers, np.float64).reshape(-1, 5)
  scores, boxes = numbers[:, 0], numbers[:, 1:]
  if np.isnan(scores).any():
    raise ValueError(f'the score of a result of image {image_ids[np.isnan(scores).argmax()]} is not a number')

  image, label = positions(image_ids, truth.image_ids), positions(label_ids, category_ids)
  keep = image >= 0
  if protocol.federated and protocol.limits[-1] < math.inf:
    keep &= rank_in_group(image, scores) < protocol.limits[-1]
  if protocol.category_limit < math.inf:
    known = np.flatnonzero(keep)
    keep[known] = rank_in_group(label[known], scores[known]) < protocol.category_limit
  keep &= label >= 0
  if protocol.federated:
    keep &= np.isin(truth.pairs(image, label), judged)
  kept = np.flatnonzero(keep)
  image, label, scores, boxes = (column[kept] for column in (image, label, scores, boxes))
  masks = [masks[i] and run_lengths(masks[i], *truth.image_sizes[j].tolist()) for i, j in zip(kept, image, strict=True)]
  # One by one: given more than 255 masks at once, pycocotools 2.0.x fails.
  mask_areas = np.asarray([np.nan if mask is None else rle_codec.area(mask) for mask in masks], np.float64)
  areas = {'bbox': boxes[:, 2] * boxes[:, 3]}
  for i in np.flatnonzero(np.isnan(boxes).any(1)):
    boxes[i], areas['bbox'][i] = rle_codec.toBbox(masks[i]), mask_areas[i]
  if not np.isnan(mask_areas).any():
    areas['segm'] = mask_areas
  return Columns(image, label, scores, boxes, masks, areas)


def _by_ids(truth: GroundTruth, category_ids: Int[np.ndarray, 'K'], pairs: Int[np.ndarray, 'P']) -> set:
  """Pairs as (image id, category id)."""
  label, image = np.divmod(pairs, max(len(truth.image_ids), 1))
  return set(zip(truth.image_ids[image].tolist(), category_ids[label].tolist(), strict=True))


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
