"""Merges instances and a semantic map into a panoptic map, as in Panoptic FPN (Kirillov et al., 2019).

In NumPy: it runs on the host in pixels of the file, where masks are pasted.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxdet.ops.paste import Window

THINGS = 0  # class of all things in a semantic map


@dataclasses.dataclass(frozen=True)
class Segment:
  """A segment: an instance, or all pixels of one stuff class."""

  id: int  # of its pixels, from 1
  is_thing: bool
  label: int  # of the instance; for stuff, its class in the semantic map
  score: float  # of the instance; 1 for stuff
  area: int  # pixels


def merge(
  masks: Sequence[Window],
  scores: Float[np.ndarray, 'N'],
  labels: Int[np.ndarray, 'N'],
  semantic: Int[np.ndarray, 'H W'],
  *,
  score_threshold: float,
  overlap: float,
  stuff_area: int,
) -> tuple[Int[np.ndarray, 'H W'], list[Segment]]:
  """Returns (segment id of every pixel, int32, 0: no segment; segments by id).

  Instances take free pixels in order of their scores; stuff takes the rest.

  Args:
    masks: of the instances, each a window of the image and its position.
    scores, labels: of the instances.
    semantic: class of every pixel, THINGS or a stuff class.
    score_threshold: least score of instances.
    overlap: instances with a larger share of already taken pixels are dropped.
    stuff_area: stuff with fewer free pixels is dropped.
  """
  ids, segments = np.zeros(semantic.shape, np.int32), []
  for row in np.argsort(-scores, kind='stable'):
    if scores[row] < score_threshold:
      break
    mask, (y, x) = masks[row]
    there = ids[y : y + mask.shape[0], x : x + mask.shape[1]]
    free = mask & (there == 0)
    area, left = int(mask.sum()), int(free.sum())
    if area == 0 or (area - left) / area > overlap:
      continue
    segments.append(Segment(len(segments) + 1, True, int(labels[row]), float(scores[row]), left))
    there[free] = len(segments)
  rest = np.where(ids == 0, semantic, THINGS)
  classes, areas = np.unique(rest, return_counts=True)
  for label, area in zip(classes.tolist(), areas.tolist(), strict=True):
    if label != THINGS and area >= stuff_area:
      segments.append(Segment(len(segments) + 1, False, label, 1.0, area))
      ids[rest == label] = len(segments)
  return ids, segments
