"""Which detections of a results file take part in the metrics.

COCO keeps the 100 best of an image and category. LVIS keeps the 300 best of an image over all categories,
and of those the ones whose category is annotated in the image as present or absent (Gupta et al. 2019,
"LVIS: a dataset for large vocabulary instance segmentation": federated data sets).
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float, Int
from pycocotools import mask as rle_codec

from jaxdet.evaluation.ground_truth import GroundTruth, positions, run_lengths


@dataclasses.dataclass(frozen=True)
class Protocol:
  name: str
  federated: bool  # LVIS's rules of who takes part; else COCO's, with crowds
  limits: tuple[int, ...]  # detections of an image, best first: over all categories (LVIS) or in each (COCO)


PROTOCOLS = {'lvis': Protocol('lvis', True, (300,)), 'coco': Protocol('coco', False, (1, 10, 100))}


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
  image_ids, category_ids, scores, boxes, masks = [], [], [], [], []
  for record in records:
    image_ids.append(record['image_id'])
    category_ids.append(record['category_id'])
    scores.append(record['score'])
    boxes.append(record.get('bbox'))
    masks.append(record.get('segmentation'))
    if boxes[-1] is None and masks[-1] is None:
      raise ValueError(f"a result of image {record['image_id']} has neither 'bbox' nor 'segmentation'")
  scores = np.asarray(scores, np.float64)
  if np.isnan(scores).any():
    raise ValueError(f'the score of a result of image {image_ids[int(np.isnan(scores).argmax())]} is not a number')
  image = positions(image_ids, truth.image_ids)
  label = positions(category_ids, np.asarray([category.id for category in truth.categories], np.int64))
  keep = image >= 0
  if protocol.federated:
    keep &= rank_in_group(image, scores) < protocol.limits[-1]
  keep &= label >= 0
  if protocol.federated:
    keep &= np.isin(truth.pairs(image, label), judged_pairs(truth))

  kept = np.flatnonzero(keep)
  image, label, scores = image[kept], label[kept], scores[kept]
  sizes = truth.image_sizes[image].tolist()
  masks = [None if masks[i] is None else run_lengths(masks[i], *size) for i, size in zip(kept, sizes, strict=True)]
  # One by one: given more than 255 masks at once, pycocotools 2.0.x fails.
  mask_areas = np.asarray([np.nan if mask is None else rle_codec.area(mask) for mask in masks], np.float64)
  boxless = np.asarray([boxes[i] is None for i in kept], bool)
  boxes = [rle_codec.toBbox(mask) if boxes[i] is None else boxes[i] for i, mask in zip(kept, masks, strict=True)]
  boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
  areas = {'bbox': np.where(boxless, mask_areas, boxes[:, 2] * boxes[:, 3])}
  if not np.isnan(mask_areas).any():
    areas['segm'] = mask_areas
  return Columns(image, label, scores, boxes, masks, areas)


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
