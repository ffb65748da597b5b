"""Evaluator of semantic segmentation against maps in a folder."""

import concurrent.futures
import functools
import json
import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int64
from PIL import Image

from jaxdet.evaluation import report
from jaxdet.evaluation.evaluator import Evaluation, Evaluator, Metrics, barrier
from jaxdet.evaluation.panoptic_result import semantic_result
from jaxdet.evaluation.process_parts import gather
from jaxdet.evaluation.semantic import confusion, semantic_metrics
from jaxdet.structures import Batch, Detections

COLUMNS = ('mIoU', 'fwIoU', 'mACC', 'pACC')


class SemanticEvaluator(Evaluator):
  """Compares classes in pixels of the files with the maps of the same names in `eval.semantic.dir`."""

  def __init__(self, evaluation: Evaluation):
    self._evaluation = evaluation
    self._matrix: Int64[np.ndarray, 'K K'] | int = 0
    self._pool = concurrent.futures.ThreadPoolExecutor()

  def add(self, batch: Batch, detections: Detections) -> None:
    of_image = functools.partial(self._confusion, batch, detections)
    self._matrix += sum(self._pool.map(of_image, np.flatnonzero(batch.valid)))

  def finish(self, findings: Sequence[str]) -> Metrics:
    evaluation = self._evaluation
    parts = gather(os.path.join(evaluation.workdir, 'semantic_parts'), np.asarray(self._matrix).tolist())
    if parts:
      counted = [part for part in map(np.asarray, parts) if part.ndim]  # from processes with images
      matrix = np.sum(counted, axis=0)
      metrics = {'semantic': report.in_percent(semantic_metrics(matrix))}
      print(report.table(metrics, COLUMNS))
      report.finish(metrics, evaluation.config, evaluation.dataset, evaluation.workdir, 0, findings)
    barrier('metrics written')
    with open(os.path.join(evaluation.workdir, 'metrics.json')) as file:
      return json.load(file)

  def __exit__(self, kind, error, trace) -> None:
    self._pool.shutdown()

  def _confusion(self, batch: Batch, detections: Detections, image: int) -> Int64[np.ndarray, 'K K']:
    config, dataset = self._evaluation.config, self._evaluation.dataset
    settings = config.eval.semantic
    stem = os.path.splitext(os.path.basename(dataset.image_files[batch.index[image]]))[0]
    path = os.path.join(config.data.dir, settings.dir, f'{stem}{settings.suffix}')
    found, truth = semantic_result(batch, detections, image), read_map(path)
    try:
      return confusion(found, truth, detections.semantic.shape[-1], settings.ignore)
    except ValueError as error:
      raise ValueError(f'{path}: {error}') from error


def read_map(path: str) -> Int[np.ndarray, 'H W']:
  """Reads the classes of a PNG with one number per pixel.

  Raises:
    FileNotFoundError: the file does not exist.
    ValueError: the file cannot be read, or has colours.
  """
  try:
    with Image.open(path) as image:
      classes = np.asarray(image)
  except FileNotFoundError:
    raise FileNotFoundError(f'no semantic map {path}: set eval.semantic.dir to the folder of these maps') from None
  except Exception as error:  # Pillow raises whatever its parsers meet, and an error of its own for huge images
    raise ValueError(f'{path} is no complete PNG ({error})') from error
  if classes.ndim != 2:
    raise ValueError(f'{path} has {classes.shape[2]} numbers a pixel, where a semantic map has one, the class')
  return classes
