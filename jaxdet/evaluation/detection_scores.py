"""Scores a results file of detections: average precision by the rules of LVIS, COCO or VOC."""

import dataclasses
import math
import os
from collections.abc import Callable, Sequence

from absl import logging
from ml_collections import ConfigDict

from jaxdet.evaluation import report, results
from jaxdet.evaluation.average_precision import Scores, average_precision
from jaxdet.evaluation.calibration import calibration_errors
from jaxdet.evaluation.diagnose import diagnose
from jaxdet.evaluation.evaluator import Metrics
from jaxdet.evaluation.ground_truth import GroundTruth
from jaxdet.evaluation.operating_point import group_metrics
from jaxdet.evaluation.rehearsal import as_detections, one_of_each_category
from jaxdet.evaluation.selection import PROTOCOLS, DetectionTable, Protocol, judged_pairs, read_for, select
from jaxdet.evaluation.voc import VocScores, voc_average_precision


@dataclasses.dataclass(frozen=True)
class DetectionRules:
  """Rule for scoring detections, and columns of its table."""

  protocol: Protocol
  rule: Callable[[GroundTruth, DetectionTable, Protocol, str], Scores | VocScores]  # last argument: 'bbox' or 'segm'
  columns: tuple[str, ...]  # metrics of the printed table


SIZES = ('APs', 'APm', 'APl')
GROUPS = ('APr', 'APc', 'APf')
LVIS = DetectionRules(PROTOCOLS['lvis'], average_precision, ('AP', 'AP50', 'AP75', *SIZES, *GROUPS, 'AR@300'))
LVIS_FIXED = DetectionRules(PROTOCOLS['lvis_fixed'], average_precision, ('AP', 'AP50', 'AP75', *SIZES, *GROUPS, 'AR'))
COCO = DetectionRules(PROTOCOLS['coco'], average_precision, ('AP', 'AP50', 'AP75', *SIZES, 'AR@1', 'AR@10', 'AR@100'))
VOC = DetectionRules(
  PROTOCOLS['voc'], voc_average_precision, ('AP50_11', 'AP50', 'AP', 'AP75', 'AP_11', 'AP75_11', 'AR')
)


def score_detections(
  rules: DetectionRules,
  config: ConfigDict,
  truth: GroundTruth,
  results_path: str,
  workdir: str,
  incomplete: int,
  findings: Sequence[str],
) -> Metrics:
  """Scores as `evaluate_results`: prints the tables and writes `metrics.json` and `per_category.csv`."""
  protocol = rules.protocol
  table = read_for(truth, results.read_results(results_path), protocol, results_path)
  columns = select(truth, table, protocol)
  scores = {name: rules.rule(truth, columns, protocol, name) for name in config.eval.iou_types}
  metrics = {name: report.in_percent(all_metrics(of_type)) for name, of_type in scores.items()}
  print(report.table(metrics, rules.columns))
  print(report.group_table(metrics, scores))
  report.write_per_category(truth, scores, os.path.join(workdir, 'per_category.csv'))
  findings = [*findings, *only_boxes(truth, config.eval.iou_types)]
  threshold = config.model.test.score_threshold
  findings = [*findings, *diagnose(truth, table, metrics, threshold, protocol)]
  return report.finish(metrics, config, truth, workdir, incomplete, findings)


def only_boxes(truth: GroundTruth, iou_types: Sequence[str]) -> list[str]:
  """Reports objects without masks, which metrics of masks ignore, in one sentence."""
  count = int((~truth.has_mask).sum())
  if 'segm' not in iou_types or not count:
    return []
  return [f'{count} of {len(truth.image)} objects have a box and no mask: metrics of masks ignore their regions']


def rehearse_detections(rules: DetectionRules, config: ConfigDict, truth: GroundTruth) -> Metrics:
  """Checks that a split's objects can be scored; see `ResultsProtocol`."""
  if rules.protocol.federated:
    judged_pairs(truth)  # refuses files that do not list them
  elif truth.negative is not None:
    logging.warning(
      "%s lists neg_category_ids, as LVIS does, and eval.protocol '%s' takes every category for annotated in every "
      "image: numbers are lower than by 'lvis'",
      truth.source,
      rules.protocol.name,
    )
  if rules.protocol.category_limit < math.inf and config.model.test.score_threshold > 0:
    logging.warning(
      'fixed AP takes detections of any score, and model.test.score_threshold is %g: set it to 0, and '
      'model.test.detections as in docs/evaluation.md',
      config.model.test.score_threshold,
    )
  iou_types = config.eval.iou_types
  for iou_type in iou_types:
    rules.rule(truth, as_detections(truth, []), rules.protocol, iou_type)  # refuses a type that rule or objects lack
  found = as_detections(truth, one_of_each_category(truth))
  metrics = report.in_percent(all_metrics(rules.rule(truth, found, rules.protocol, 'bbox')))
  return {iou_type: metrics for iou_type in iou_types}  # whether there is a value depends on objects alone


def all_metrics(scores: Scores | VocScores) -> dict[str, float | None]:
  """Metrics of the protocol, and jaxdet's own of each frequency group; as fractions."""
  return scores.summary() | group_metrics(scores) | calibration_errors(scores)
