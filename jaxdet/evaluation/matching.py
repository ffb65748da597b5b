"""Matches detections with objects greedily, for all IoU thresholds and area ranges at once.

As in COCO's and LVIS's evaluators, detections in order of score take the free object of their image and category with
the highest IoU. Pairs of image and category are independent, so one NumPy step handles the r-th detection of all pairs
with the same number of objects.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from pycocotools import mask as rle_codec

UNMATCHED, MATCHED, IGNORED = 0, 1, 2  # IGNORED: matched with an object that does not count
CHUNK = 2**22  # elements of a step's largest array


def box_ious(
  boxes: Float[np.ndarray, 'N 4'], objects: Float[np.ndarray, 'N 4'], crowd: Bool[np.ndarray, 'N']
) -> Float[np.ndarray, 'N']:
  """IoU of boxes (x, y, width, height), row by row; for crowds intersection over the detection's area."""
  overlap = np.minimum(boxes[:, :2] + boxes[:, 2:], objects[:, :2] + objects[:, 2:])
  overlap -= np.maximum(boxes[:, :2], objects[:, :2])
  intersection = np.where((overlap > 0).all(1), overlap[:, 0] * overlap[:, 1], 0.0)
  area = boxes[:, 2] * boxes[:, 3]
  union = np.where(crowd, area, area + objects[:, 2] * objects[:, 3] - intersection)
  return np.divide(intersection, union, out=np.zeros_like(union), where=intersection > 0)


def mask_ious(masks: list[dict], objects: list[dict], crowd: Bool[np.ndarray, 'G']) -> Float[np.ndarray, 'D*G']:
  """IoU of every mask (run lengths) with every object's, row by row; -1 if their sizes differ."""
  return np.asarray(rle_codec.iou(masks, objects, crowd.astype(np.uint8)), np.float64).reshape(-1)


def match(
  ious: Float[np.ndarray, 'I'],
  pair: Int[np.ndarray, 'D'],
  object_start: Int[np.ndarray, 'D'],
  object_count: Int[np.ndarray, 'D'],
  ignore: Bool[np.ndarray, 'G A'],
  crowd: Bool[np.ndarray, 'G'],
  thresholds: Float[np.ndarray, 'T'],
) -> UInt8[np.ndarray, 'D T A']:
  """Matches each detection: UNMATCHED, MATCHED or IGNORED.

  Args:
    ious: IoUs of each detection with the objects of its pair, concatenated over detections.
    pair: pair of each detection, ascending; within a pair the best score comes first.
    object_start, object_count: objects of a detection are rows start..start + count, count > 0. Of equal IoUs the
      first row wins; upstream lets the last object of the file win, so pass them in reverse.
    ignore: objects that do not count in area range A; a detection takes one only if no other is left.
    crowd: objects that any number of detections may take.
    thresholds: least IoU of a match.
  """
  result = np.zeros((len(pair), len(thresholds), ignore.shape[1]), np.uint8)
  if not len(pair):
    return result
  offsets = np.cumsum(object_count) - object_count
  # Most detections overlap no object, and do not affect later ones.
  candidates = np.flatnonzero(np.maximum.reduceat(ious, offsets) >= thresholds.min())
  for count in np.unique(object_count[candidates]):
    rows = candidates[object_count[candidates] == count]
    limit = max(1, CHUNK // int(count * result[0].size))
    _, first, local = np.unique(pair[rows], return_index=True, return_inverse=True)
    for begin in range(0, len(first), limit):  # `limit` pairs at once
      chosen = (local >= begin) & (local < begin + limit)
      columns = np.arange(count)
      result[rows[chosen]] = _match_pairs(
        ious[offsets[rows[chosen], None] + columns],
        local[chosen] - begin,
        ignore[object_start[rows[first[begin : begin + limit]], None] + columns],
        crowd[object_start[rows[first[begin : begin + limit]], None] + columns],
        thresholds,
      )
  return result


def _match_pairs(
  ious: Float[np.ndarray, 'D G'],
  pair: Int[np.ndarray, 'D'],
  ignore: Bool[np.ndarray, 'P G A'],
  crowd: Bool[np.ndarray, 'P G'],
  thresholds: Float[np.ndarray, 'T'],
) -> UInt8[np.ndarray, 'D T A']:
  """Matches P pairs with G objects each, as `match`."""
  counted = ~ignore.transpose(0, 2, 1)[:, None]  # [P, 1, A, G]
  least = thresholds[:, None, None]
  free = np.ones((len(ignore), len(thresholds), ignore.shape[2], ignore.shape[1]), bool)
  result = np.zeros((len(pair), *free.shape[1:3]), np.uint8)
  _, start, count = np.unique(pair, return_index=True, return_counts=True)
  rank = np.arange(len(pair)) - np.repeat(start, count)
  for step in np.split(np.argsort(rank, kind='stable'), np.cumsum(np.bincount(rank))[:-1]):
    at = pair[step]
    iou = ious[step, None, None]  # [n, 1, 1, G]
    possible = free[at] & (iou >= least)
    regular = possible & counted[at]
    possible = np.where(regular.any(-1, keepdims=True), regular, possible)
    best = np.where(possible, iou, -1.0).argmax(-1)[..., None]  # [n, T, A, 1]
    matched = possible.any(-1)
    takes_counted = np.take_along_axis(np.broadcast_to(counted[at], possible.shape), best, -1)[..., 0]
    result[step] = np.where(matched, np.where(takes_counted, MATCHED, IGNORED), UNMATCHED)
    taken = matched[..., None] & (np.arange(free.shape[-1]) == best) & ~crowd[at, None, None]
    free[at] &= ~taken
  return result
