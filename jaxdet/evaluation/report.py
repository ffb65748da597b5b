"""Writes metrics as tables, as JSON and as CSV by category; all in percent."""

import csv
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jaxdet.evaluation.average_precision import Scores
from jaxdet.evaluation.ground_truth import GroundTruth
from jaxdet.evaluation.voc import VocScores
from jaxdet.structures import Dataset

GROUP_COLUMNS = ('AR', 'F1', 'P@F1', 'R@F1', 'T@F1', 'ECE', 'cwECE')


def percent(value: float | None) -> float | None:
  return None if value is None else 100 * value


def in_percent(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
  """Converts metrics by name from fractions to percent."""
  return {name: percent(value) for name, value in metrics.items()}


def table(metrics: Mapping[str, Mapping[str, float | None]], columns: Sequence[str]) -> str:
  """Formats an aligned table with a row for each IoU type; '-' if a group has no objects.

  Args:
    metrics: by IoU type and metric, in percent.
    columns: metrics to show.
  """
  rows = [['', *columns]]
  for iou_type, values in metrics.items():
    rows.append([iou_type, *(_cell(values[name]) for name in columns)])
  return _aligned(rows)


def group_table(metrics: Mapping[str, Mapping[str, float | None]], scores: Mapping[str, Scores | VocScores]) -> str:
  """Formats an aligned table with a row for each IoU type and group of categories, as `table`.

  Args:
    metrics: by IoU type and metric, in percent.
    scores: by IoU type; have the groups.
  """
  rows = [['', *GROUP_COLUMNS]]
  for iou_type, values in metrics.items():
    protocol = scores[iou_type].protocol
    for group in scores[iou_type].groups:
      names = (_in_group(name, group) if name != 'AR' else protocol.recall_name(group) for name in GROUP_COLUMNS)
      rows.append([f'{iou_type} {group or "all"}', *(_cell(values[name]) for name in names)])
  return _aligned(rows)


def _in_group(name: str, group: str) -> str:
  metric, at, where = name.partition('@')
  return f'{metric}{group}{at}{where}'


def _cell(value: float | None) -> str:
  return '-' if value is None else f'{value:.2f}'


def _aligned(rows: Sequence[Sequence[str]]) -> str:
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
  return '\n'.join('  '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def finish(
  metrics: Mapping[str, Mapping[str, float | None]],
  config: ConfigDict,
  truth: GroundTruth | Dataset,
  workdir: str,
  incomplete: int,
  findings: Sequence[str],
) -> dict[str, Any]:
  """Prints possible problems, writes `metrics.json` into `workdir`, and returns its content.

  Args:
    metrics: by IoU type and metric, in percent.
    config: its `eval.protocol` and `eval.image_ids` are recorded.
    truth: the scored objects, or a data set, whose images are counted.
    incomplete: number of images with more candidates than were kept.
    findings: sentences on possible problems.
  """
  if incomplete:
    print(f'{incomplete} images had more candidates than model.test.pre_nms_topk: some detections may be missing')
  for finding in findings:
    print(f'diagnosis: {finding}')
  everything = {
    **metrics,
    'protocol': config.eval.protocol,
    'images': len(truth.image_ids),
    'image_ids': config.eval.image_ids,
    'incomplete': incomplete,
    'diagnosis': list(findings),
  }
  write_metrics(everything, os.path.join(workdir, 'metrics.json'))
  return everything


def write_metrics(metrics: Mapping, path: str) -> None:
  """Writes JSON atomically, so that readers never see an incomplete file."""
  with open(path + '.part', 'w') as file:
    json.dump(metrics, file, indent=2)
    file.write('\n')
  os.replace(path + '.part', path)


def write_per_category(truth: GroundTruth, scores: Mapping[str, Scores | VocScores], path: str) -> None:
  """Writes CSV with a row for each category: its metrics by IoU type, empty if it has no objects."""
  instances = np.bincount(truth.label, minlength=len(truth.categories))
  columns = {f'{t}_{name}': values for t in scores for name, values in scores[t].per_category().items()}
  with open(path, 'w', newline='') as file:
    writer = csv.writer(file)
    header = ['id', 'name', 'frequency', 'image_count', 'val_instances']
    writer.writerow([*header, *columns])
    for k, category in enumerate(truth.categories):
      numbers = [percent(values[k]) for values in columns.values()]
      writer.writerow(
        [category.id, category.name, category.frequency, category.image_count, instances[k]]
        + ['' if number is None else f'{number:.3f}' for number in numbers]
      )
