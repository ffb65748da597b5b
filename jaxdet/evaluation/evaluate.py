"""A detector's metrics on the validation split, with everything that explains them in a folder."""

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxdet.evaluation import report, results
from jaxdet.evaluation.average_precision import Scores, average_precision
from jaxdet.evaluation.calibration import calibration_errors
from jaxdet.evaluation.diagnose import diagnose, not_finite
from jaxdet.evaluation.ground_truth import GroundTruth, load_ground_truth
from jaxdet.evaluation.inference import Place, infer, shard_over_devices
from jaxdet.evaluation.operating_point import group_metrics
from jaxdet.evaluation.pictures import FirstImages
from jaxdet.evaluation.selection import PROTOCOLS, read_for, select
from jaxdet.evaluation.voc import VocScores, voc_average_precision
from jaxdet.structures import Dataset

PROGRESS_SECONDS = 10


def evaluate(
  config: ConfigDict,
  detector,
  variables: Mapping,
  dataset: Dataset,
  workdir: str,
  place: Place = shard_over_devices,
) -> dict:
  """Runs the detector over the validation split, or those of its images that `eval.image_ids` names, and scores it.

  Writes into `workdir`, which all processes share: `results_val.json`, `metrics.json`, `per_category.csv` and
  `pictures/`, ground truth and detections side by side.

  Args:
    config: `eval` is read, and `model.test` for the diagnosis.
    detector: has `predict(variables, batch) -> Detections`.
    place: puts a batch on the devices.

  Returns:
    What `metrics.json` holds, on every process: {'bbox': {'AP': ...}, 'segm': {...}, ...} in percent.

  Raises:
    ValueError: the results do not cover the split, or masks are asked of a detector that has none.
  """
  parts_folder = os.path.join(workdir, 'results_parts')
  os.makedirs(parts_folder, exist_ok=True)
  parts = [os.path.join(parts_folder, f'results.{process}.jsonl') for process in range(jax.process_count())]
  first = FirstImages(config.eval.pictures if jax.process_index() == 0 else 0)
  category_ids = [category.id for category in dataset.categories]
  progress = Progress(len(dataset.image_ids))
  with results.ResultsWriter(parts[jax.process_index()], dataset.image_ids, category_ids) as writer:
    for batch, detections in infer(detector, variables, dataset.eval_batches(), place):
      if 'segm' in config.eval.iou_types and detections.masks is None:
        raise ValueError("the detector has no masks: set eval.iou_types to ('bbox',)")
      first.add(batch)
      writer.add(batch, detections)
      progress.add(int(batch.valid.sum()))
  incomplete = _sum_over_processes(writer.incomplete)

  if jax.process_index() == 0:
    results_path = os.path.join(workdir, 'results_val.json')
    results.merge(parts, dataset.image_ids, results_path)
    shutil.rmtree(parts_folder)
    truth = load_ground_truth(dataset.annotations)
    if config.eval.image_ids:
      truth = truth.subset(dataset.image_ids)
    if set(truth.image_ids.tolist()) != set(np.asarray(dataset.image_ids).tolist()):
      raise ValueError(
        f'the validation split has {len(dataset.image_ids)} images and {truth.source} has {len(truth.image_ids)}, '
        'not all the same: records that were prepared from another annotation file must be prepared anew'
      )
    evaluate_results(config, truth, results_path, workdir, incomplete, not_finite(variables))
    pictures = os.path.join(workdir, 'pictures')
    first.draw(dataset.image_ids, truth, results_path, config.eval.picture_threshold, pictures)
  _barrier('metrics written')
  with open(os.path.join(workdir, 'metrics.json')) as file:
    return json.load(file)


def evaluate_results(
  config: ConfigDict,
  truth: GroundTruth,
  results_path: str,
  workdir: str,
  incomplete: int = 0,
  findings: Sequence[str] = (),
) -> dict:
  """Scores a results file, prints the table, and writes `metrics.json` and `per_category.csv` into `workdir`.

  Args:
    config: `eval.protocol` and `eval.iou_types` are read, and `model.test.score_threshold` for the diagnosis;
      `eval.image_ids` is noted.
    truth: the split's objects, from `load_ground_truth`; results of other images are left out.
    incomplete: images whose candidates were cut off.
    findings: problems known already.

  Returns:
    What `metrics.json` holds.
  """
  if config.eval.protocol not in PROTOCOLS:
    raise ValueError(f"eval.protocol is '{config.eval.protocol}': choose one of {', '.join(PROTOCOLS)}")
  protocol = PROTOCOLS[config.eval.protocol]
  table = read_for(truth, results.read_results(results_path), protocol)
  columns = select(truth, table, protocol)
  rule = voc_average_precision if protocol.name == 'voc' else average_precision
  scores = {name: rule(truth, columns, protocol, name) for name in config.eval.iou_types}
  metrics = {
    name: {metric: report.percent(value) for metric, value in all_metrics(of_type).items()}
    for name, of_type in scores.items()
  }
  print(report.table(metrics, protocol.name))
  print(report.group_table(metrics, scores))
  if incomplete:
    print(f'{incomplete} images had more candidates than model.test.pre_nms_topk: some detections may be missing')
  findings = [*findings, *diagnose(truth, table, metrics, config.model.test.score_threshold, protocol)]
  for finding in findings:
    print(f'diagnosis: {finding}')
  everything = metrics | {
    'protocol': protocol.name,
    'images': len(truth.image_ids),
    'image_ids': config.eval.image_ids,
    'incomplete': incomplete,
    'diagnosis': findings,
  }
  report.write_per_category(truth, scores, os.path.join(workdir, 'per_category.csv'))
  report.write_metrics(everything, os.path.join(workdir, 'metrics.json'))
  return everything


def all_metrics(scores: Scores | VocScores) -> dict[str, float | None]:
  """The protocol's metrics, and jaxdet's own of each frequency group; as fractions."""
  return scores.summary() | group_metrics(scores) | calibration_errors(scores)


class Progress:
  """Prints images and images/s now and then, on the first process."""

  def __init__(self, total: int):
    self.total, self.images, self.start = total, 0, time.monotonic()
    self._printed = self.start
    self._first = None  # when the first batch had come: compilation is not part of the speed

  def add(self, images: int) -> None:
    """Counts this process's images; the others are taken to be as many."""
    now = time.monotonic()
    self.images += images * jax.process_count()
    if self._first is None:
      self._first = now, self.images
    done = self.images >= self.total
    if jax.process_index() == 0 and (done or now - self._printed > PROGRESS_SECONDS):
      since, before = self._first
      speed = (self.images - before) / max(now - since, 1e-9)
      print(f'evaluated {min(self.images, self.total)} / {self.total} images, {speed:.1f} images/s', flush=True)
      self._printed = now


def _barrier(name: str) -> None:
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def _sum_over_processes(value: int) -> int:
  """The sum of a number of each process; all of them have come this far when it returns."""
  if jax.process_count() == 1:
    return value
  return int(np.sum(multihost_utils.process_allgather(np.asarray(value))))
