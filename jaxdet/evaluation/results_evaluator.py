"""Evaluator of boxes and masks: writes a results file and scores it."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxdet.annotations.same_categories import Table, check_same_categories
from jaxdet.evaluation import results
from jaxdet.evaluation.evaluator import Evaluation, Evaluator, Metrics, barrier, sum_over_processes
from jaxdet.evaluation.ground_truth import GroundTruth, load_ground_truth
from jaxdet.evaluation.pictures import FirstImages
from jaxdet.structures import Batch, Dataset, Detections

# Scores a results file, prints the metrics and writes metrics.json; arguments: config, the split's objects, results
# file, workdir, number of images with too many candidates, findings.
ScoreResults = Callable[[ConfigDict, GroundTruth, str, str, int, Sequence[str]], Metrics]


class ResultsEvaluator(Evaluator):
  """Writes `results_val.json` from all processes, scores it, and draws `pictures/`, ground truth and detections."""

  def __init__(self, score: ScoreResults, evaluation: Evaluation):
    self._score, self._evaluation = score, evaluation
    config, dataset = evaluation.config, evaluation.dataset
    self._folder = os.path.join(evaluation.workdir, 'results_parts')
    os.makedirs(self._folder, exist_ok=True)
    self._parts = [os.path.join(self._folder, f'results.{process}.jsonl') for process in range(jax.process_count())]
    self._first = FirstImages(config.eval.pictures if jax.process_index() == 0 else 0)
    category_ids = [category.id for category in dataset.categories]
    self._held = contextlib.ExitStack()
    self._writer = self._held.enter_context(
      results.ResultsWriter(self._parts[jax.process_index()], dataset.image_ids, category_ids)
    )

  def add(self, batch: Batch, detections: Detections) -> None:
    if 'segm' in self._evaluation.config.eval.iou_types and detections.masks is None:
      raise ValueError("the detector has no masks: set eval.iou_types to ('bbox',)")
    self._first.add(batch)
    self._writer.add(batch, detections)

  def finish(self, findings: Sequence[str]) -> Metrics:
    """See `Evaluator`; raises a ValueError if the results do not cover the split."""
    self._held.close()  # waits for unfinished work
    incomplete = sum_over_processes(self._writer.incomplete)
    workdir = self._evaluation.workdir
    if jax.process_index() == 0:
      self._report(os.path.join(workdir, 'results_val.json'), incomplete, findings)
    barrier('metrics written')
    with open(os.path.join(workdir, 'metrics.json')) as file:
      return json.load(file)

  def _report(self, path: str, incomplete: int, findings: Sequence[str]) -> None:
    config, dataset, workdir = self._evaluation.config, self._evaluation.dataset, self._evaluation.workdir
    results.merge(self._parts, dataset.image_ids, path)
    shutil.rmtree(self._folder)
    truth = truth_of_split(dataset, config.data.compare_categories, bool(config.eval.image_ids))
    self._score(config, truth, path, workdir, incomplete, findings)
    pictures = os.path.join(workdir, 'pictures')
    self._first.draw(dataset.image_ids, truth, path, config.eval.picture_threshold, pictures)

  def __exit__(self, kind, error, trace) -> None:
    self._held.__exit__(kind, error, trace)


def truth_of_split(dataset: Dataset, compare_categories: str, some_images: bool) -> GroundTruth:
  """Loads the objects of the split's annotation file; with `some_images`, of the split's images only.

  Raises:
    ValueError: the split and the file have different images, or different categories by `data.compare_categories`.
  """
  truth = load_ground_truth(dataset.annotations)
  tables = Table(dataset.categories, 'the data set in use'), Table(truth.categories, truth.source)
  check_same_categories(*tables, compare_categories)
  if some_images:
    truth = truth.subset(dataset.image_ids)
  if set(truth.image_ids.tolist()) != set(np.asarray(dataset.image_ids).tolist()):
    raise ValueError(
      f'the validation split has {len(dataset.image_ids)} images and {truth.source} has {len(truth.image_ids)}, '
      'not all the same: records that were prepared from another annotation file must be prepared anew'
    )
  return truth
