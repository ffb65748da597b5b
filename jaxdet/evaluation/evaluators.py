"""Table of evaluators by `eval.protocol`."""

import functools
from collections.abc import Callable, Mapping, Sequence

from ml_collections import ConfigDict

from jaxdet.evaluation.detection_scores import (
  COCO,
  LVIS,
  LVIS_FIXED,
  VOC,
  DetectionRules,
  rehearse_detections,
  score_detections,
)
from jaxdet.evaluation.evaluator import Evaluation, Evaluator, Metrics
from jaxdet.evaluation.ground_truth import GroundTruth
from jaxdet.evaluation.panoptic_evaluator import PanopticEvaluator
from jaxdet.evaluation.proposals import rehearse_proposals, score_proposals
from jaxdet.evaluation.results_evaluator import ResultsEvaluator, ResultsProtocol
from jaxdet.evaluation.semantic_evaluator import SemanticEvaluator
from jaxdet.parts import find


def _by_rules(rules: DetectionRules) -> ResultsProtocol:
  return ResultsProtocol(functools.partial(score_detections, rules), functools.partial(rehearse_detections, rules))


RESULTS: Mapping[str, ResultsProtocol] = {  # protocols of results files, from any program
  'lvis': _by_rules(LVIS),
  'lvis_fixed': _by_rules(LVIS_FIXED),
  'coco': _by_rules(COCO),
  'voc': _by_rules(VOC),
  'proposals': ResultsProtocol(score_proposals, rehearse_proposals),
}
EVALUATORS: Mapping[str, Callable[[Evaluation], Evaluator]] = {
  **{name: functools.partial(ResultsEvaluator, protocol) for name, protocol in RESULTS.items()},
  'panoptic': functools.partial(PanopticEvaluator, RESULTS['coco']),
  'semantic': SemanticEvaluator,
}


def find_evaluator(config: ConfigDict) -> Callable[[Evaluation], Evaluator]:
  """Finds the evaluator `eval.protocol`; raises a ValueError if it is unknown."""
  return find(EVALUATORS, config.eval.protocol, 'eval.protocol')


def evaluate_results(
  config: ConfigDict,
  truth: GroundTruth,
  results_path: str,
  workdir: str,
  incomplete: int = 0,
  findings: Sequence[str] = (),
) -> Metrics:
  """Scores a results file, prints the table, and writes `metrics.json` and `per_category.csv` into `workdir`.

  Args:
    config: reads `eval.protocol` and `eval.iou_types`, and `model.test.score_threshold` for the diagnosis; records
      `eval.image_ids`.
    truth: the split's objects, from `load_ground_truth`; results of other images are ignored.
    incomplete: number of images with more candidates than were kept.
    findings: sentences on known problems.

  Returns:
    The content of `metrics.json`: {'bbox': {'AP': ...}, 'segm': {...}, ...} in percent.

  Raises:
    ValueError: the protocol is unknown for results files, or does not support one of the IoU types.
  """
  protocol = find(RESULTS, config.eval.protocol, 'eval.protocol of results files')
  return protocol.score(config, truth, results_path, workdir, incomplete, findings)
