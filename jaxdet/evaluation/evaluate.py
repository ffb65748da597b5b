"""Evaluates a detector on the validation split, with the config's evaluator."""

import time
from collections.abc import Mapping

import jax
from absl import logging
from ml_collections import ConfigDict

from jaxdet.configuration import detection_canvases
from jaxdet.evaluation.diagnose import not_finite
from jaxdet.evaluation.evaluator import Evaluation, Metrics
from jaxdet.evaluation.evaluators import find_evaluator
from jaxdet.evaluation.inference import Place, detection_shapes, infer, shard_over_devices
from jaxdet.structures import Dataset

PROGRESS_SECONDS = 10


def evaluate(
  config: ConfigDict,
  detector,
  variables: Mapping,
  dataset: Dataset,
  workdir: str,
  place: Place = shard_over_devices,
) -> Metrics:
  """Runs the detector on the validation split, or on its images `eval.image_ids`, and scores it.

  Writes the evaluator's report into `workdir`, which all processes share: `metrics.json`, and for boxes and masks
  `results_val.json`, `per_category.csv` and `pictures/`, ground truth and detections side by side.

  Args:
    config: reads `eval`, whose `protocol` names the evaluator, and `model.test` for the diagnosis.
    detector: has `predict(call, batch) -> Detections`.
    place: puts a batch on the devices.

  Returns:
    The content of `metrics.json`, on every process: {'bbox': {'AP': ...}, 'segm': {...}, ...} in percent.

  Raises:
    ValueError: the evaluator is unknown, the results do not cover the split, or the detector lacks the masks to score.
  """
  make = find_evaluator(config)
  progress = Progress(len(dataset.image_ids))
  with make(Evaluation(config, dataset, workdir)) as evaluator:
    for batch, detections in infer(detector, variables, dataset.eval_batches(), place):
      evaluator.add(batch, detections)
      progress.add(int(batch.valid.sum()))
    return evaluator.finish(not_finite(variables))


def check_evaluation(config: ConfigDict, detector, variables: Mapping, dataset: Dataset, workdir: str) -> Metrics:
  """Opens all that `evaluate` will need, before the work whose result it evaluates; on one process.

  The ground truth is read, which takes seconds to minutes, and let go again.

  Args:
    config: as for `evaluate`, and `data`.
    variables: of the detector; shapes are enough.

  Returns:
    Metrics of `evaluate`; None for one that has no value on this split. Other values mean nothing.

  Raises:
    ValueError: the split cannot be scored by `eval.protocol`, or the detector lacks what it needs.
    FileNotFoundError: a file is missing.
  """
  started = time.monotonic()
  logging.info("checking the evaluation by eval.protocol '%s' on %s", config.eval.protocol, dataset.annotations)
  make = find_evaluator(config)
  canvases, images = detection_canvases(config.data), config.eval.batch_size
  detections = [detection_shapes(detector, variables, images, canvas) for canvas in canvases]
  metrics = make(Evaluation(config, dataset, workdir)).check(detections[0])
  logging.info('the evaluation has all that it needs; checked in %.1f s', time.monotonic() - started)
  return metrics


class Progress:
  """Prints images and images/s at intervals, on the first process."""

  def __init__(self, total: int):
    self.total, self.images, self.start = total, 0, time.monotonic()
    self._printed = self.start
    self._first = None  # time after the first batch, so that compilation is not part of the speed

  def add(self, images: int) -> None:
    """Counts this process's images; assumes as many on the others."""
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
