"""Evaluator of panoptic segmentation: PQ and semantic metrics, with those of boxes and masks."""

import concurrent.futures
import functools
import json
import os
from collections.abc import Sequence
from typing import Self

import numpy as np
from jaxtyping import Float, Int64

from jaxdet.annotations import panoptic
from jaxdet.annotations.panoptic import PanopticAnnotations, PanopticSegment
from jaxdet.annotations.same_categories import Table, check_same_categories
from jaxdet.evaluation import report
from jaxdet.evaluation.evaluator import Evaluation, Evaluator, Metrics, barrier
from jaxdet.evaluation.panoptic import count_matches, panoptic_quality
from jaxdet.evaluation.panoptic_result import check_masks, check_semantic, panoptic_result, semantic_result
from jaxdet.evaluation.panoptic_truth import check_images
from jaxdet.evaluation.process_parts import gather
from jaxdet.evaluation.results_evaluator import ResultsEvaluator, ResultsProtocol, truth_of_split
from jaxdet.evaluation.semantic import confusion, metrics_of_classes, semantic_metrics
from jaxdet.evaluation.semantic_evaluator import COLUMNS
from jaxdet.ops.panoptic_merge import Segment
from jaxdet.structures import Batch, Detections

NAME = 'panoptic_val'  # of the results' JSON file and of the folder of their PNGs


class PanopticEvaluator(Evaluator):
  """Scores boxes and masks from a results file, and panoptic and semantic maps against COCO's panoptic annotations.

  Writes the results in COCO's panoptic format into the workdir, in addition to the files of ResultsEvaluator.
  """

  def __init__(self, protocol: ResultsProtocol, evaluation: Evaluation):
    self._evaluation = evaluation
    self._folder = os.path.join(evaluation.workdir, NAME)
    self._entries = []
    self._results = ResultsEvaluator(protocol, evaluation)

  def check(self, detections: Detections) -> Metrics:
    """See `Evaluator`; reads the PNG of every image."""
    config, dataset = self._evaluation.config, self._evaluation.dataset
    for section, name in ((config.eval, 'eval'), (config.model.test, 'model.test')):
      if 'panoptic' not in section:
        raise ValueError(f"eval.protocol 'panoptic' needs {name}.panoptic: see configs/detectron2/panoptic_fpn.py")
    check_masks(detections)
    check_semantic(detections)
    truth = self._read()
    classes, predicted = 1 + len(panoptic.stuff_classes(truth.categories)), detections.semantic.shape[-1]
    if predicted != classes:
      raise ValueError(
        f'the detector has {predicted} classes of pixels, and {truth.path} {classes}, one of all things and those of '
        f'stuff: set model.pyramid_tasks.semantic.num_classes to {classes}'
      )
    objects = truth_of_split(dataset, config.data.compare_categories, bool(config.eval.image_ids))
    metrics = self._results.check_with(objects, detections)
    annotated, classes_of_pixels = check_images(truth, objects)
    counts = np.zeros((len(truth.categories), 4))
    counts[annotated, :2] = 1
    return metrics | {
      'panoptic': panoptic_quality(counts, np.array([category.is_thing for category in truth.categories])),
      'semantic': metrics_of_classes(classes_of_pixels, classes),
    }

  def __enter__(self) -> Self:
    self._truth = self._read()
    # Category ids by label.
    things, stuff = panoptic.things(self._truth.categories), panoptic.stuff_classes(self._truth.categories)
    self._ids = {True: [thing.id for thing in things], False: [0, *stuff]}
    os.makedirs(self._folder, exist_ok=True)
    self._counts: Float[np.ndarray, 'C 4'] = np.zeros((len(self._truth.categories), 4))
    self._matrix: Int64[np.ndarray, 'K K'] = np.zeros((len(self._ids[False]),) * 2, np.int64)
    self._results.__enter__()
    self._pool = concurrent.futures.ThreadPoolExecutor()
    return self

  def add(self, batch: Batch, detections: Detections) -> None:
    self._results.add(batch, detections)
    one = functools.partial(self._one_image, batch, detections)
    for entry, counts, matrix in self._pool.map(one, np.flatnonzero(batch.valid)):
      self._entries.append(entry)
      self._counts += counts
      self._matrix += matrix

  def finish(self, findings: Sequence[str]) -> Metrics:
    workdir = self._evaluation.workdir
    metrics = self._results.finish(findings)
    part = {'entries': self._entries, 'counts': self._counts.tolist(), 'matrix': self._matrix.tolist()}
    path = os.path.join(workdir, 'metrics.json')
    if parts := gather(os.path.join(workdir, 'panoptic_parts'), part):
      entries = [entry for part in parts for entry in part['entries']]
      panoptic.write_results(f'{self._folder}.json', self._truth.categories, entries)
      counts, matrix = (np.sum([part[name] for part in parts], axis=0) for name in ('counts', 'matrix'))
      is_thing = np.array([category.is_thing for category in self._truth.categories])
      metrics |= {
        'panoptic': report.in_percent(panoptic_quality(counts, is_thing)),
        'semantic': report.in_percent(semantic_metrics(matrix)),
      }
      print(panoptic_table(metrics['panoptic']))
      print(report.table({'semantic': metrics['semantic']}, COLUMNS))
      report.write_metrics(metrics, path)
    barrier('panoptic metrics written')
    with open(path) as file:
      return json.load(file)

  def __exit__(self, kind, error, trace) -> None:
    self._pool.shutdown()
    self._results.__exit__(kind, error, trace)

  def _read(self) -> PanopticAnnotations:
    """Reads the panoptic annotations; raises a ValueError if they are of another data set."""
    config, dataset = self._evaluation.config, self._evaluation.dataset
    settings = config.eval.panoptic
    truth = panoptic.read(*(os.path.join(config.data.dir, settings[key]) for key in ('annotations', 'maps')))
    tables = Table(panoptic.things(truth.categories), truth.path), Table(dataset.categories, dataset.annotations)
    check_same_categories(*tables, config.data.compare_categories)
    return truth

  def _one_image(self, batch: Batch, detections: Detections, image: int):
    """Writes the PNG of an image; returns the image's entry in the results, its counts and its confusion matrix."""
    image_id = int(self._evaluation.dataset.image_ids[batch.index[image]])
    of_image, true_ids = self._truth.of(image_id), self._truth.ids(image_id)
    semantic = semantic_result(batch, detections, image)
    ids, segments = panoptic_result(batch, detections, image, semantic, self._evaluation.config.model.test.panoptic)
    panoptic.write_ids(os.path.join(self._folder, of_image.file_name), ids)
    found = [PanopticSegment(each.id, self._category(each)) for each in segments]
    true_classes = panoptic.semantic_map(true_ids, of_image.segments, self._truth.categories)
    try:
      counts = count_matches(true_ids, of_image.segments, ids, found, self._truth.categories)
      matrix = confusion(semantic, true_classes, len(self._matrix), panoptic.IGNORED)
    except ValueError as error:
      raise ValueError(f'{self._truth.path}: image {image_id}: {error}') from error
    return self._entry(image_id, of_image.file_name, segments), counts, matrix

  def _entry(self, image_id: int, file_name: str, segments: Sequence[Segment]) -> dict:
    info = [
      {'id': each.id, 'category_id': self._category(each), 'score': each.score, 'area': each.area} for each in segments
    ]
    return {'image_id': image_id, 'file_name': file_name, 'segments_info': info}

  def _category(self, segment: Segment) -> int:
    return self._ids[segment.is_thing][segment.label]


def panoptic_table(metrics: dict[str, float | None]) -> str:
  """Formats an aligned table with rows for all categories, things and stuff."""
  rows = {'panoptic': '', 'things': '_th', 'stuff': '_st'}
  names = ('PQ', 'SQ', 'RQ')
  return report.table({row: {name: metrics[name + end] for name in names} for row, end in rows.items()}, names)
