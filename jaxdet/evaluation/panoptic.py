"""Panoptic quality (Kirillov et al., 2019), with panopticapi's numbers.

A predicted segment matches a true one of its category if their IoU is above 0.5; then no other one can. Per category,
PQ = SQ * RQ: SQ is the mean IoU of matches, RQ their number over the mean number of true and predicted segments.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxdet.annotations.panoptic import MAX_ID, VOID, PanopticCategory, PanopticSegment

IOU, TRUE_POSITIVES, FALSE_POSITIVES, FALSE_NEGATIVES = range(
  4
)  # columns of counts; the first is a sum over the second
Segments = Sequence[PanopticSegment]


def count_matches(
  truth_ids: Int[np.ndarray, 'H W'],
  truth: Segments,
  found_ids: Int[np.ndarray, 'H W'],
  found: Segments,
  categories: Sequence[PanopticCategory],
) -> Float[np.ndarray, 'C 4']:
  """Counts an image's matches by category and the columns above; counts of images add up.

  Void pixels of the ground truth are not part of a prediction's area. A prediction is no false positive if more than
  half of it lies on void pixels, or on the crowd of its category (the last one of several).

  Args:
    truth_ids, found_ids: segment id of every pixel.
    truth: segments of the ground truth, with their areas.
    found: predicted segments; their areas are computed.
    categories: rows of the result.

  Raises:
    ValueError: predicted ids and segments differ, sizes differ, a category is unknown, or a segment of the ground truth
      has no area.
  """
  if truth_ids.shape != found_ids.shape:
    raise ValueError(f'the prediction is of size {found_ids.shape}, the ground truth of {truth_ids.shape}')
  row = {category.id: k for k, category in enumerate(categories)}
  pairs, pixels = np.unique(truth_ids.astype(np.int64) * (MAX_ID + 1) + found_ids, return_counts=True)
  overlap = {divmod(pair, MAX_ID + 1): count for pair, count in zip(pairs.tolist(), pixels.tolist(), strict=True)}
  area = _areas(overlap, found, row)
  true_segments, counts = {segment.id: segment for segment in truth}, np.zeros((len(categories), 4))
  predictions = {segment.id: segment for segment in found}
  matched_truth, matched_found = set(), set()
  for (true_id, found_id), shared in overlap.items():
    true, prediction = true_segments.get(true_id), predictions.get(found_id)
    if true is None or prediction is None or true.is_crowd or true.category_id != prediction.category_id:
      continue
    if true.area is None:
      raise ValueError(f'segment {true_id} of the ground truth has no area')
    iou = shared / (area[found_id] + true.area - shared - overlap.get((VOID, found_id), 0))
    if iou > 0.5:
      counts[row[true.category_id], [IOU, TRUE_POSITIVES]] += iou, 1
      matched_truth.add(true_id)
      matched_found.add(found_id)
  crowds = {segment.category_id: segment.id for segment in truth if segment.is_crowd}
  for segment in truth:
    if segment.id not in matched_truth and not segment.is_crowd:
      counts[row[segment.category_id], FALSE_NEGATIVES] += 1
  for segment in found:
    ignored = overlap.get((VOID, segment.id), 0)
    if segment.category_id in crowds:
      ignored += overlap.get((crowds[segment.category_id], segment.id), 0)
    if segment.id not in matched_found and ignored <= 0.5 * area[segment.id]:
      counts[row[segment.category_id], FALSE_POSITIVES] += 1
  return counts


def panoptic_quality(counts: Float[np.ndarray, 'C 4'], is_thing: Bool[np.ndarray, 'C']) -> dict[str, float | None]:
  """PQ, SQ and RQ over all categories, over things (`_th`) and over stuff (`_st`), as fractions.

  Means over annotated or predicted categories; None if there are none.
  """
  metrics = {}
  for end, kept in (('', np.ones_like(is_thing)), ('_th', is_thing), ('_st', ~is_thing)):
    values = {name: column[kept & counts[:, 1:].any(1)] for name, column in quality_by_category(counts).items()}
    metrics |= {f'{name}{end}': float(column.mean()) if len(column) else None for name, column in values.items()}
  return metrics


def quality_by_category(counts: Float[np.ndarray, 'C 4']) -> dict[str, Float[np.ndarray, 'C']]:
  """PQ, SQ and RQ of each category; zeros if it was neither annotated nor predicted."""
  iou, hits, wrong, missed = counts.T
  segments = np.maximum(hits + 0.5 * wrong + 0.5 * missed, 0.5)
  return {'PQ': iou / segments, 'SQ': iou / np.maximum(hits, 1), 'RQ': hits / segments}


def _areas(overlap: dict[tuple[int, int], int], found: Segments, row: dict[int, int]) -> dict[int, int]:
  """Area of each predicted segment in pixels."""
  areas = {segment.id: 0 for segment in found}
  for (_, id), pixels in overlap.items():
    if id != VOID and id not in areas:
      raise ValueError(f'segment {id} is in the map of a prediction and not in its list')
    if id in areas:
      areas[id] += pixels
  for segment in found:
    if not areas[segment.id]:
      raise ValueError(f'segment {segment.id} is in the list of a prediction and not in its map')
    if segment.category_id not in row:
      raise ValueError(f'segment {segment.id} of a prediction has category {segment.category_id}, not in the table')
  return areas
