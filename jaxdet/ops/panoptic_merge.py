"""One label a pixel from instances and a semantic map, as Panoptic FPN does it (Kirillov et al., 2019).

NumPy alone: it is done in the pixels of the file, on the host, where masks are pasted.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxdet.ops.paste import Window

THINGS = 0  # the class of a semantic map that stands for all things


@dataclasses.dataclass(frozen=True)
class Segment:
  """Pixels that belong together: an instance, or all of an image that is of a stuff class."""

  id: int  # of its pixels, from 1 on
  is_thing: bool
  label: int  # of the instance; of stuff its class in the semantic map
  score: float  # of the instance; of stuff 1
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
  """(the id of every pixel's segment, int32, 0 where there is none; the segments by id).

  Instances take what is free, best first; stuff gets the rest.

  Args:
    masks: of the instances, each a window of the image and its place.
    scores, labels: of the instances.
    semantic: the class of every pixel, THINGS or a class of stuff.
    score_threshold: instances below it are left out.
    overlap: an instance of which a larger share is taken already is left out.
    stuff_area: stuff of fewer free pixels is left out.
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
