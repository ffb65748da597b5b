"""Matches our detections with recorded ones, and compares their masks."""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from jaxdet.ops.image_masks import image_mask_window
from jaxdet.ops.paste import paste_mask
from jaxdet.parity.case import Case

SAME_BOX = 1.0  # pixels: boxes that differ more are different detections
MOST_PROPOSALS = 256  # number of best proposals per image in recordings, except mmdetection's


@dataclasses.dataclass(frozen=True)
class Matches:
  """Our row for each recorded row, or -1, and the largest differences of matched rows."""

  rows: Int[np.ndarray, 'N']
  box: float  # pixels
  score: float


def match_rows(
  boxes: Float[np.ndarray, 'P 4'],
  scores: Float[np.ndarray, 'P'],
  labels: Int[np.ndarray, 'P'],
  recorded: tuple[Float[np.ndarray, 'N 4'], Float[np.ndarray, 'N'], Int[np.ndarray, 'N']],
) -> Matches:
  """Matches our rows one-to-one with recorded rows of the same label, at the least difference of boxes and scores.

  Scores may be equal to the last digits, so the order of rows is not compared.
  """
  recorded_boxes, recorded_scores, recorded_labels = recorded
  pixels = np.abs(recorded_boxes[:, None] - boxes).max(-1, initial=0.0)
  cost = pixels + 100 * np.abs(recorded_scores[:, None] - scores)
  cost = np.where(recorded_labels[:, None] == labels, np.minimum(cost, 1e6), 1e6)
  theirs, ours = linear_sum_assignment(cost)
  near = (pixels[theirs, ours] <= SAME_BOX) & (recorded_labels[theirs] == labels[ours])
  theirs, ours = theirs[near], ours[near]
  rows = np.full(len(recorded_boxes), -1)
  rows[theirs] = ours
  return Matches(
    rows=rows,
    box=float(pixels[theirs, ours].max(initial=0.0)),
    score=float(np.abs(recorded_scores[theirs] - scores[ours]).max(initial=0.0)),
  )


def recorded_rows(case: Case, prefix: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Boxes, scores (probabilities) and labels of recorded proposals or detections; proposals have label 0."""
  boxes, scores = case.arrays[f'{prefix}/boxes'], case.arrays[f'{prefix}/scores']
  if f'{prefix}/labels' in case.arrays:
    return boxes, scores, case.arrays[f'{prefix}/labels']
  if case.program != 'mmdet':  # Detectron2's proposals have logits
    scores = 1 / (1 + np.exp(-scores))
  return boxes, scores, np.zeros(len(boxes), np.int64)


def recorded_count(case: Case, name: str) -> int | None:
  """Number of proposals or detections, of which only the best may be recorded; None: unknown."""
  part, image = name[:-1], int(name[-1])
  if part == 'proposals' and 'num_proposals' in case.meta:
    return case.meta['num_proposals'][image]
  if part == 'det' and 'detection_note' in case.meta:  # Detic's query detectors: the best of 300
    return None
  if part == 'det' and 'detection_stats' in case.meta:
    return int(case.meta['detection_stats']['rows'][image][0])
  count = len(case.arrays[f'{name}/boxes'])
  return None if part == 'proposals' and case.program != 'mmdet' and count == MOST_PROPOSALS else count


def mask_errors(
  case: Case,
  name: str,
  masks: Float[np.ndarray, 'P h w'],
  boxes: Float[np.ndarray, 'P 4'],
  rows: Int[np.ndarray, 'N'],
  over_image: bool = False,
) -> list[float]:
  """1 - IoU of recorded masks and ours, pasted into the image, for detections with recorded bits.

  Args:
    case: the recorded run.
    name: of the image's detections.
    masks: probabilities over the boxes.
    boxes: in pixels of the image.
    rows: our row for each recorded detection.
    over_image: masks are probabilities over the whole image; upstream stretches the grid to the image even if it
      covers a canvas.
  """
  key = f'{name}/masks'
  shape = case.meta['mask_shape'][key]
  recorded = np.unpackbits(case.arrays[key])[: math.prod(shape)].reshape(shape).astype(bool)
  errors = []
  for wanted, row in zip(recorded, rows, strict=False):
    if row >= 0:
      ours = (_stretched if over_image else paste_mask)(masks[row], boxes[row], *shape[1:]).astype(bool)
      union = (ours | wanted).sum()
      errors.append(1 - float((ours & wanted).sum() / union) if union else 0.0)
  return errors


def _stretched(
  probabilities: Float[np.ndarray, 'h w'], box: Float[np.ndarray, '4'], height: int, width: int
) -> Bool[np.ndarray, 'H W']:
  """Mask of an image from probabilities on a grid that covers the image."""
  mask = np.zeros((height, width), bool)
  window, (y, x) = image_mask_window(probabilities, box, (height, width), height, width)
  mask[y : y + window.shape[0], x : x + window.shape[1]] = window
  return mask
