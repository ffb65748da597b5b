"""Scores proposals: average recall of the best 100, 300 or 1000 boxes per image, ignoring categories.

As mmdetection's CocoMetric 'proposal': COCO's rules with all categories merged (pycocotools' `useCats = 0`) and other
limits. (Its 'proposal_fast' and Detectron2's box proposals match greedily by overlap and differ a little.)
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from jaxdet.evaluation import report, results
from jaxdet.evaluation.average_precision import average_precision
from jaxdet.evaluation.diagnose import diagnose
from jaxdet.evaluation.evaluator import Metrics
from jaxdet.evaluation.ground_truth import GroundTruth
from jaxdet.evaluation.rehearsal import as_detections, one_of_each_category
from jaxdet.evaluation.selection import PROTOCOLS, DetectionTable, read_for, select
from jaxdet.structures import Category

COLUMNS = ('AR@100', 'AR@300', 'AR@1000', 'ARs@1000', 'ARm@1000', 'ARl@1000')


def score_proposals(
  config: ConfigDict,
  truth: GroundTruth,
  results_path: str,
  workdir: str,
  incomplete: int,
  findings: Sequence[str],
) -> Metrics:
  """Scores as `evaluate_results`: prints the table and writes `metrics.json`."""
  protocol = PROTOCOLS['proposals']
  _check_boxes_alone(config)
  table = read_for(truth, results.read_results(results_path), protocol, results_path)
  metrics = {'bbox': report.in_percent(proposal_recall(truth, select(truth, table, protocol)))}
  print(report.table(metrics, COLUMNS))
  findings = [*findings, *diagnose(truth, table, metrics, config.model.test.score_threshold, protocol)]
  return report.finish(metrics, config, truth, workdir, incomplete, findings)


def rehearse_proposals(config: ConfigDict, truth: GroundTruth) -> Metrics:
  """Checks that a split's objects can be scored; see `ResultsProtocol`."""
  _check_boxes_alone(config)
  found = as_detections(truth, one_of_each_category(truth))
  return {'bbox': report.in_percent(proposal_recall(truth, found))}


def _check_boxes_alone(config: ConfigDict) -> None:
  if tuple(config.eval.iou_types) != ('bbox',):
    raise ValueError("eval.protocol 'proposals' is about boxes alone: set eval.iou_types to ('bbox',)")


def proposal_recall(truth: GroundTruth, columns: DetectionTable) -> dict[str, float | None]:
  """Mean recall over IoU 0.5 to 0.95 by COLUMNS, as fractions; None for a size without objects."""
  truth, columns = without_categories(truth, columns)
  summary = average_precision(truth, columns, PROTOCOLS['proposals'], 'bbox').summary()
  return {name: summary[name] for name in COLUMNS}


def without_categories(truth: GroundTruth, columns: DetectionTable) -> tuple[GroundTruth, DetectionTable]:
  """Replaces all categories by one; objects and detections stay in the order of their categories, as upstream."""
  objects, detections = (np.argsort(labels, kind='stable') for labels in (truth.label, columns.label))
  per_object = ('annotation_ids', 'image', 'boxes', 'areas', 'ignore', 'crowd')
  truth = dataclasses.replace(
    truth,
    categories=(Category(0, 'object'),),
    label=np.zeros_like(truth.label),
    segmentations=tuple(truth.segmentations[i] for i in objects),
    **{name: getattr(truth, name)[objects] for name in per_object},
  )
  columns = DetectionTable(
    image=columns.image[detections],
    label=np.zeros_like(columns.label),
    scores=columns.scores[detections],
    boxes=columns.boxes[detections],
    masks=[columns.masks[i] for i in detections],
    mask_sizes=columns.mask_sizes[detections],
    areas={name: areas[detections] for name, areas in columns.areas.items()},
  )
  return truth, columns
