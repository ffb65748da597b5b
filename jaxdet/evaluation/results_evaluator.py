"""Evaluator of boxes and masks: writes a results file and scores it."""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Sequence
from typing import Self

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


@dataclasses.dataclass(frozen=True)
class ResultsProtocol:
  """A protocol of results files."""

  score: ScoreResults
  # Checks, before there are results, that a split's objects can be scored; returns as `Evaluator.check`.
  rehearse: Callable[[ConfigDict, GroundTruth], Metrics]


class ResultsEvaluator(Evaluator):
  """Writes `results_val.json` from all processes, scores it, and draws `pictures/`, ground truth and detections."""

  def __init__(self, protocol: ResultsProtocol, evaluation: Evaluation):
    self._protocol, self._evaluation = protocol, evaluation
    self._folder = os.path.join(evaluation.workdir, 'results_parts')
    self._parts = [os.path.join(self._folder, f'results.{process}.jsonl') for process in range(jax.process_count())]
    self._first = FirstImages(evaluation.config.eval.pictures if jax.process_index() == 0 else 0)
    self._held = contextlib.ExitStack()

  def check(self, detections: Detections) -> Metrics:
    dataset, config = self._evaluation.dataset, self._evaluation.config
    truth = truth_of_split(dataset, config.data.compare_categories, bool(config.eval.image_ids))
    return self.check_with(truth, detections)

  def check_with(self, truth: GroundTruth, detections: Detections) -> Metrics:
    """Checks as `check`, with the split's objects."""
    self._check_masks(detections)
    return self._protocol.rehearse(self._evaluation.config, truth)

  def __enter__(self) -> Self:
    dataset = self._evaluation.dataset
    os.makedirs(self._folder, exist_ok=True)
    category_ids = [category.id for category in dataset.categories]
    self._writer = self._held.enter_context(
      results.ResultsWriter(self._parts[jax.process_index()], dataset.image_ids, category_ids)
    )
    return self

  def add(self, batch: Batch, detections: Detections) -> None:
    self._check_masks(detections)
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
    self._protocol.score(config, truth, path, workdir, incomplete, findings)
    pictures = os.path.join(workdir, 'pictures')
    self._first.draw(dataset.image_ids, truth, path, config.eval.picture_threshold, pictures)

  def _check_masks(self, detections: Detections) -> None:
    if 'segm' in self._evaluation.config.eval.iou_types and detections.masks is None:
      raise ValueError("the detector has no masks: set eval.iou_types to ('bbox',)")

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
