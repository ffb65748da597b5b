"""How well each frequency group is found, beyond its AP: recall, and the point at which a detector would be used.

AP and AR are means over categories. The operating point is of the group as a whole: at IoU 0.5, the one score for
all its categories from which on detections are taken, such that F1 is best.
"""

import numpy as np
from jaxtyping import Bool, Float

from jaxdet.evaluation.average_precision import Scores, mean
from jaxdet.evaluation.voc import VocScores


def group_metrics(scores: Scores | VocScores) -> dict[str, float | None]:
  """AR of the groups r, c and f, and of these and all categories F1, P@F1, R@F1 and T@F1, as fractions.

  ARr@300 and the like are the mean recall over IoU thresholds and the group's categories, with the protocol's most
  detections of an image. F1r is the best F1 that one score gives the rare categories together, Pr@F1 and Rr@F1 are
  precision and recall there, Tr@F1 is this score. None where a group has no objects.
  """
  result = {}
  for group in scores.groups:
    members = scores.members(group)
    if group:
      result[scores.protocol.recall_name(group)] = mean(scores.recall[:, members, 0, -1])
    judged = scores.judged
    mine = np.isin(judged.label, members)
    values = best_f1(judged.score[mine], judged.hit[mine], int(judged.num_objects[members].sum()))
    result |= dict(zip((f'F1{group}', f'P{group}@F1', f'R{group}@F1', f'T{group}@F1'), values, strict=True))
  return result


def best_f1(score: Float[np.ndarray, 'N'], hit: Bool[np.ndarray, 'N'], num_objects: int) -> tuple[float | None, ...]:
  """(F1, precision, recall, score) where detections from this score on give the best F1; the highest such score.

  Zero, and no score, where nothing is found; None where there are no objects.
  """
  if not num_objects:
    return None, None, None, None
  if not hit.any():
    return 0.0, 0.0, 0.0, None
  order = np.argsort(-score, kind='stable')
  score, found = score[order], np.cumsum(hit[order])
  last = np.flatnonzero(np.append(score[1:] < score[:-1], True))  # of equal scores, all are taken or none
  f1 = 2 * found[last] / (last + 1 + num_objects)
  best = f1.argmax()
  at = last[best]
  return float(f1[best]), float(found[at] / (at + 1)), float(found[at] / num_objects), float(score[at])
