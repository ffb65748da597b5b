"""Trains a config, from the last checkpoint of its workdir if there is one, and evaluates it."""

import fnmatch
import os
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from input_pipeline import dataset as datasets
from jaxdet.annotations.same_categories import Table, differing_labels
from jaxdet.cli.jobs.before_training import check_best_metric, check_run
from jaxdet.convert.class_rows import class_arrays
from jaxdet.evaluation import check_evaluation, evaluate
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import variable_shapes
from jaxdet.training import freezing, loop
from jaxdet.training.agreement import check_same_on_all_processes
from jaxdet.training.categories import check_checkpoint_categories, set_class_counts, set_num_classes
from jaxdet.training.checkpoint import read_metadata
from jaxdet.training.processes import check_together


def train(config: ConfigDict, workdir: str) -> None:
  """Trains `config` in `workdir`, from its last checkpoint if there is one, and evaluates at the end."""
  check_together(lambda: check_run(config, workdir))
  dataset = open_dataset(config, workdir)
  set_num_classes(config, dataset.categories)
  set_class_counts(config, dataset.class_counts())
  detector = build_detector(config.model, config.model.num_classes)

  known = Table(dataset.categories, dataset.annotations)
  check_start(config, detector, known, resumed=check_resume(config, workdir, known))

  def check_end() -> None:
    if jax.process_index() == 0:
      metrics = check_evaluation(config, detector, variable_shapes(detector), dataset, workdir)
      check_best_metric(config.train.best_metric, metrics, config.eval.protocol, dataset.annotations)

  check_together(check_end)
  if config.model.backbone.norm in ('frozen_bn', 'bn_eval') and not config.train.init_from:
    logging.warning(
      'no train.init_from: the backbone starts from random weights, and its batch norm stays as it is. '
      'This tries things out; it does not train a good model'
    )

  def score(variables: dict[str, Any]) -> dict:
    return evaluate(config, detector, variables, dataset, workdir)

  loop.train(config, workdir, dataset, detector, score)


def check_resume(config: ConfigDict, workdir: str, known: Table) -> bool:
  """Returns whether training goes on from a checkpoint of the workdir, which must have the data set's categories.

  Raises:
    ValueError: it has others.
  """
  folder = os.path.join(workdir, 'checkpoints')
  try:
    saved = Table(read_metadata(folder).categories, folder)
  except FileNotFoundError:
    return False
  check_checkpoint_categories(saved, known, config.data.compare_categories, 'or train in another workdir')
  return True


def check_start(config: ConfigDict, detector, known: Table, resumed: bool = False) -> None:
  """Checks `train.init_from`: its labels must mean those of the data set, wherever weights of classes are taken.

  A second stage, which trains only a part of a detector, needs a first stage with the same categories. Any other
  training may start from a model of another number of classes, whose classes do not fit, or leave the classes out by
  `train.init_except`.

  Args:
    known: categories of the data set.
    resumed: training goes on from its own checkpoint, so that a first stage is not read again.

  Raises:
    ValueError: a second stage without `train.init_from`, or a model with other categories.
    FileNotFoundError: there is no checkpoint.
  """
  params = variable_shapes(detector)['params']
  trained = freezing.trainable(params, config.model.frozen)
  trainable = {name: tree for name, tree in trained.items() if name != 'backbone'}
  second_stage = not all(jax.tree.leaves(trainable))
  if not second_stage and (resumed or not config.train.init_from):
    return
  if not config.train.init_from:
    raise ValueError(
      'this config trains a part of the detector alone, all else stays as it is: set train.init_from to the workdir '
      'of a trained model'
    )
  start = Table(read_metadata(config.train.init_from).categories, config.train.init_from)
  if second_stage:
    check_checkpoint_categories(start, known, config.data.compare_categories)
  elif len(start.categories) == len(known.categories):
    _check_taken_classes(config, start, known)


def _check_taken_classes(config: ConfigDict, start: Table, known: Table) -> None:
  """Raises ValueError if arrays with classes are taken from a model with other categories."""
  if not differing_labels(start.categories, known.categories, config.data.compare_categories):
    return
  taken = [
    path
    for path in class_arrays(config.model)
    if not any(fnmatch.fnmatch(path, pattern) for pattern in config.train.init_except)
  ]
  if taken:
    patterns = ', '.join(f"'{layer}/*'" for layer in dict.fromkeys(path.rpartition('/')[0] for path in taken))
    advice = f'or begin the classes anew with train.init_except=({patterns})'
    check_checkpoint_categories(start, known, config.data.compare_categories, advice)


def open_dataset(config: ConfigDict, workdir: str) -> datasets.RecordDataset:
  """Opens this process's part of the data set of `config`.

  Raises:
    ValueError: settings or files do not fit, or processes of the job have read different annotations.
  """
  dataset = datasets.build(config, workdir, jax.process_index(), jax.process_count())
  check_same_on_all_processes(dataset.content, 'annotations (has a file changed, or do hosts have different copies?)')
  return dataset
