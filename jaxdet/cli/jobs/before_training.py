"""Checks a training run: settings and folders before its data are opened, its evaluation before its first step.

So what would be refused after the last step is refused before the first.
"""

import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from jaxdet import config_ranges, sharding
from jaxdet.evaluation.evaluators import find_evaluator
from jaxdet.models.build import build_without_data
from jaxdet.parts import nearest
from jaxdet.training import schedules
from jaxdet.training.checkpoint import latest_step, read_metadata


def check_run(config: ConfigDict, workdir: str) -> None:
  """Checks settings, names of parts and folders; reads no data.

  Raises:
    ValueError: a setting is out of range or unknown, or batches do not divide over the devices.
    OSError: the workdir cannot be written to, or there is no checkpoint `train.init_from`.
  """
  config_ranges.check(config)
  find_evaluator(config)
  schedules.build_schedule(config.train)
  build_without_data(config.model, config.model.num_classes or 1)
  mesh = sharding.make_mesh()
  sharding.check_batch_size(config.train.batch_size, config.train.accumulate, mesh)
  if config.eval.batch_size % mesh.size:
    raise ValueError(f'eval.batch_size {config.eval.batch_size}: choose a multiple of the {mesh.size} devices')
  check_writable(workdir)
  for doubt in schedules.doubts(config.train):
    logging.warning('%s', doubt)
  step = latest_step(pathlib.Path(workdir, 'checkpoints'))
  if step is not None:
    compare_with_checkpoint(config, workdir, step)
  elif config.train.init_from:
    read_metadata(config.train.init_from)


def check_writable(workdir: str) -> None:
  """Makes the workdir if it does not exist; raises an OSError if nothing can be written into it."""
  try:
    os.makedirs(workdir, exist_ok=True)
    with tempfile.TemporaryFile(dir=workdir):
      pass
  except OSError as error:
    raise OSError(f'cannot write into the workdir {workdir} ({error.strerror}): give another --workdir') from error


def compare_with_checkpoint(config: ConfigDict, workdir: str, step: int) -> None:
  """Logs what a run that goes on from a checkpoint changes, and a last step that it is already beyond."""
  if step > config.train.steps:
    logging.warning(
      'the checkpoint in %s is of step %d, and train.steps is %d: nothing is trained, the checkpoint is evaluated',
      workdir,
      step,
      config.train.steps,
    )
  if changes := changed_settings(read_metadata(workdir).config, config):
    logging.info('settings that differ from those of the checkpoint at step %d: %s', step, '; '.join(changes))


def changed_settings(before: ConfigDict, now: ConfigDict) -> list[str]:
  """Lists settings with their values before and now, without those that the data fill in."""
  old, new = (dict(config_ranges.leaves(each.to_dict())) for each in (before, now))
  filled_in = ('model.num_classes', 'model.class_counts.')
  return [
    f'{key} {old.get(key)!r} -> {new.get(key)!r}'
    for key in sorted(old | new)
    if not key.startswith(filled_in) and old.get(key) != new.get(key)
  ]


def check_best_metric(name: str, metrics: Mapping[str, Any], protocol: str, annotations: str) -> None:
  """Checks that the evaluation will give the metric that chooses the best checkpoint.

  Args:
    name: `train.best_metric`, such as 'segm/AP'.
    metrics: from `check_evaluation`.
    protocol: `eval.protocol`.
    annotations: of the validation split.

  Raises:
    ValueError: there is no such metric, or it has no value on this split.
  """
  values = {key.replace('.', '/'): value for key, value in config_ranges.leaves(metrics)}
  if name not in values:
    raise ValueError(
      f"train.best_metric '{name}' is no metric of eval.protocol '{protocol}' with these eval.iou_types: set it to "
      f"'{nearest(name, values)}', the nearest, or to another one of docs/evaluation.md"
    )
  if values[name] is None:
    others = nearest(name, [key for key, value in values.items() if value is not None])
    raise ValueError(
      f"train.best_metric '{name}' has no value on {annotations}: no object there counts for it; "
      + (f"set it to '{others}', the nearest with a value" if others else 'no metric has a value')
    )
