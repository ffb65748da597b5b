"""Computes the expected calibration error of detections: how far scores are from probabilities.

Küppers et al. 2020, "Multivariate confidence calibration for object detection", with the score as the only
dimension: scores fall into ten bins of equal width, [0, 0.1), [0.1, 0.2), .., [0.9, 1]. The error is the mean over
bins of |precision - mean score|, each bin weighted by its detections.
"""

import numpy as np
from jaxtyping import Float

from jaxdet.evaluation.average_precision import MatchedDetections, Scores, mean
from jaxdet.evaluation.voc import VocScores

BINS = 10


def calibration_errors(scores: Scores | VocScores) -> dict[str, float | None]:
  """Computes ECE and cwECE of all categories and of each frequency group (ECEr, cwECEr, ..), as fractions.

  ECE is over all detections of a group; cwECE (classwise) is the mean over the errors of categories with detections.
  Precision is at IoU 0.5. The detections are those of `MatchedDetections`: of the protocol's pairs of image and
  category, without ignored ones.

  None without detections, and for all metrics if a score is not within 0..1.
  """
  matched = scores.matched
  names = [f'{name}{group}' for group in scores.groups for name in ('ECE', 'cwECE')]
  if ((matched.score < 0) | (matched.score > 1)).any():
    return dict.fromkeys(names)
  count, gap = calibration_bins(matched, len(scores.frequencies))
  by_category = _errors(count, gap)
  values = []
  for group in scores.groups:
    members = scores.members(group)
    together = _errors(count[members].sum(0, keepdims=True), gap[members].sum(0, keepdims=True))
    values += [mean(together), mean(by_category[members])]
  return dict(zip(names, values, strict=True))


def calibration_bins(
  matched: MatchedDetections, num_categories: int
) -> tuple[Float[np.ndarray, 'K bins'], Float[np.ndarray, 'K bins']]:
  """(detections, true positives minus the sum of scores) of each category in each bin of scores within 0..1."""
  row = np.minimum((matched.score * BINS).astype(np.int64), BINS - 1)  # 1 is in the last bin
  cell = matched.label * BINS + row
  columns = (None, matched.true_positive - matched.score)
  sums = (np.bincount(cell, weights, num_categories * BINS) for weights in columns)
  count, gap = (each.reshape(num_categories, BINS) for each in sums)
  return count, gap


def _errors(count: Float[np.ndarray, 'K bins'], gap: Float[np.ndarray, 'K bins']) -> Float[np.ndarray, 'K']:
  """Calibration error of each row; NaN without detections."""
  total = count.sum(1)
  return np.divide(np.abs(gap).sum(1), total, out=np.full(len(total), np.nan), where=total > 0)
