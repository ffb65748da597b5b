"""Evaluator of semantic segmentation against maps in a folder."""

import concurrent.futures
import functools
import json
import os
from collections.abc import Sequence
from typing import Self

import numpy as np
from jaxtyping import Int, Int64
from PIL import Image

from jaxdet.evaluation import report
from jaxdet.evaluation.evaluator import Evaluation, Evaluator, Metrics, barrier
from jaxdet.evaluation.ground_truth import GroundTruth, positions
from jaxdet.evaluation.panoptic_result import check_semantic, semantic_result
from jaxdet.evaluation.process_parts import gather
from jaxdet.evaluation.results_evaluator import truth_of_split
from jaxdet.evaluation.semantic import confusion, metrics_of_classes, semantic_metrics
from jaxdet.structures import Batch, Detections

COLUMNS = ('mIoU', 'fwIoU', 'mACC', 'pACC')


class SemanticEvaluator(Evaluator):
  """Compares classes in pixels of the files with the maps of the same names in `eval.semantic.dir`."""

  def __init__(self, evaluation: Evaluation):
    self._evaluation = evaluation
    self._matrix: Int64[np.ndarray, 'K K'] | int = 0

  def check(self, detections: Detections) -> Metrics:
    """See `Evaluator`; reads the map of every image."""
    config, dataset = self._evaluation.config, self._evaluation.dataset
    if 'semantic' not in config.eval:
      raise ValueError("eval.protocol 'semantic' needs eval.semantic: see configs/detectron2/semantic_fpn.py")
    check_semantic(detections)
    truth = truth_of_split(dataset, config.data.compare_categories, bool(config.eval.image_ids))
    num_classes, ignored = detections.semantic.shape[-1], config.eval.semantic.ignore

    def classes_of(index: int) -> Int[np.ndarray, 'N']:
      path = self._path(index)
      classes = read_map(path)
      check_size(path, classes.shape, truth, int(dataset.image_ids[index]))
      found = np.unique(classes)
      found = found[found != ignored]
      if len(found) and not 0 <= found[0] <= found[-1] < num_classes:
        raise ValueError(
          f'{path} has class {found[-1]}, where the detector has {num_classes} and eval.semantic.ignore is {ignored}: '
          'set model.pyramid_tasks.semantic.num_classes, or another eval.semantic.dir'
        )
      return found

    with concurrent.futures.ThreadPoolExecutor() as pool:
      found = list(pool.map(classes_of, range(len(dataset.image_ids))))
    return {'semantic': metrics_of_classes(np.unique(np.concatenate([np.zeros(0, np.int64), *found])), num_classes)}

  def __enter__(self) -> Self:
    self._pool = concurrent.futures.ThreadPoolExecutor()
    return self

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
    path = self._path(batch.index[image])
    found, truth = semantic_result(batch, detections, image), read_map(path)
    try:
      return confusion(found, truth, detections.semantic.shape[-1], self._evaluation.config.eval.semantic.ignore)
    except ValueError as error:
      raise ValueError(f'{path}: {error}') from error

  def _path(self, index: int) -> str:
    """Path of the map of an image, by its position in the split."""
    config, dataset = self._evaluation.config, self._evaluation.dataset
    settings = config.eval.semantic
    stem = os.path.splitext(os.path.basename(dataset.image_files[index]))[0]
    return os.path.join(config.data.dir, settings.dir, f'{stem}{settings.suffix}')


def check_size(path: str, size: tuple[int, ...], truth: GroundTruth, image_id: int) -> None:
  """Raises a ValueError if a map has neither the annotated size of its image nor that size turned."""
  height, width = truth.image_sizes[positions([image_id], truth.image_ids)[0]].tolist()
  if size not in ((height, width), (width, height)):  # an annotation may be of the image before its EXIF turn
    raise ValueError(f'{path} is of size {size}, and image {image_id} of {(height, width)} in {truth.source}')


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
