"""Metrics of frequency groups beyond AP: average recall, and the operating point with the best F1.

AP and AR are means over categories. The operating point is of the group as a whole: at IoU 0.5, one score threshold for
all its categories that gives the best F1.
"""

import numpy as np
from jaxtyping import Bool, Float

from jaxdet.evaluation.average_precision import Scores, mean
from jaxdet.evaluation.voc import VocScores


def group_metrics(scores: Scores | VocScores) -> dict[str, float | None]:
  """Computes AR of the groups r, c and f, and F1, P@F1, R@F1 and T@F1 of these and all categories, as fractions.

  ARr@300 and so on are mean recalls over IoU thresholds and the group's categories, with the protocol's limit of
  detections per image. F1r is the best F1 of the rare categories together at one score threshold, Pr@F1 and Rr@F1 are
  precision and recall there, Tr@F1 is the threshold. None for a group without objects.
  """
  result = {}
  for group in scores.groups:
    members = scores.members(group)
    if group:
      result[scores.protocol.recall_name(group)] = mean(scores.recall[:, members, 0, -1])
    matched = scores.matched
    mine = np.isin(matched.label, members)
    values = best_f1(matched.score[mine], matched.true_positive[mine], int(matched.num_objects[members].sum()))
    result |= dict(zip((f'F1{group}', f'P{group}@F1', f'R{group}@F1', f'T{group}@F1'), values, strict=True))
  return result


def best_f1(
  score: Float[np.ndarray, 'N'], true_positive: Bool[np.ndarray, 'N'], num_objects: int
) -> tuple[float | None, ...]:
  """(F1, precision, recall, score) at the score threshold with the best F1; the highest such threshold.

  Zeros and no score if nothing is found; None without objects.
  """
  if not num_objects:
    return None, None, None, None
  if not true_positive.any():
    return 0.0, 0.0, 0.0, None
  order = np.argsort(-score, kind='stable')
  score, found = score[order], np.cumsum(true_positive[order])
  last = np.flatnonzero(np.append(score[1:] < score[:-1], True))  # equal scores are taken together
  f1 = 2 * found[last] / (last + 1 + num_objects)
  best = f1.argmax()
  at = last[best]
  return float(f1[best]), float(found[at] / (at + 1)), float(found[at] / num_objects), float(score[at])
