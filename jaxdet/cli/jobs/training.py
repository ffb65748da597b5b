"""Trains a config, from the last checkpoint of its workdir if there is one, and evaluates it."""

from collections.abc import Sequence
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from input_pipeline import dataset as datasets
from jaxdet.cli.jobs.before_training import check_best_metric, check_run
from jaxdet.evaluation import check_evaluation, evaluate
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import variable_shapes
from jaxdet.structures import Category
from jaxdet.training import freezing, loop
from jaxdet.training.agreement import check_same_on_all_processes
from jaxdet.training.categories import check_same_categories, set_class_counts, set_num_classes
from jaxdet.training.checkpoint import read_metadata
from jaxdet.training.processes import check_together


def train(config: ConfigDict, workdir: str) -> None:
  """Trains `config` in `workdir`, from its last checkpoint if there is one, and evaluates at the end."""
  check_together(lambda: check_run(config, workdir))
  dataset = open_dataset(config, workdir)
  set_num_classes(config, dataset.categories)
  set_class_counts(config, dataset.class_counts())
  detector = build_detector(config.model, config.model.num_classes)

  check_start(config, detector, dataset.categories)

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


def check_start(config: ConfigDict, detector, categories: Sequence[Category]) -> None:
  """Checks that a second stage, which trains only a part of a detector, has a first stage with the same categories.

  Raises:
    ValueError: `train.init_from` is empty, or its model has other categories.
    FileNotFoundError: there is no checkpoint.
  """
  params = variable_shapes(detector)['params']
  trained = freezing.trainable(params, config.model.frozen)
  trainable = {name: tree for name, tree in trained.items() if name != 'backbone'}
  if all(jax.tree.leaves(trainable)):
    return
  if not config.train.init_from:
    raise ValueError(
      'this config trains a part of the detector alone, all else stays as it is: set train.init_from to the workdir '
      'of a trained model'
    )
  check_same_categories(read_metadata(config.train.init_from).categories, categories)


def open_dataset(config: ConfigDict, workdir: str) -> datasets.RecordDataset:
  """Opens this process's part of the data set of `config`.

  Raises:
    ValueError: settings or files do not fit, or processes of the job have read different annotations.
  """
  dataset = datasets.build(config, workdir, jax.process_index(), jax.process_count())
  check_same_on_all_processes(dataset.content, 'annotations (has a file changed, or do hosts have different copies?)')
  return dataset
