"""Interface of evaluators: batches with detections in, metrics out."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxdet.structures import Batch, Dataset, Detections

Metrics = dict[str, Any]  # content of metrics.json; numbers in nested dicts have names such as 'segm/AP'


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Arguments of an evaluator, made once per evaluation on every process."""

  config: ConfigDict  # evaluators read `eval`, their diagnoses `model.test`
  dataset: Dataset
  workdir: str  # shared by all processes


class Evaluator(contextlib.AbstractContextManager):
  """Scores the detections of a split; a context manager, since it may own files and processes.

  Each process adds its own batches and then calls `finish`, which waits for the others if necessary. `check` comes
  before, without entering the context; so files and processes are opened on entering.
  """

  def check(self, detections: Detections) -> Metrics:
    """Opens all that `finish` will need, on one process, and closes it again.

    Args:
      detections: shapes of the detector's results, as jax.ShapeDtypeStruct.

    Returns:
      Metrics as those of `finish`; None for a metric that has no value on this split. Other values mean nothing.

    Raises:
      ValueError: the split cannot be scored, or the detector's results lack something.
      FileNotFoundError: a file is missing.
    """
    raise NotImplementedError

  def add(self, batch: Batch, detections: Detections) -> None:
    """Adds a batch and its detections, as NumPy arrays."""
    raise NotImplementedError

  def finish(self, findings: Sequence[str]) -> Metrics:
    """Writes the report and returns the metrics, the same on every process.

    Args:
      findings: sentences on known problems.
    """
    raise NotImplementedError

  def __enter__(self) -> Self:
    return self

  def __exit__(self, kind, error, trace) -> None:
    """Releases the evaluator's resources, also if it was not finished."""


def barrier(name: str) -> None:
  """Waits until every process has reached this call."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def sum_over_processes(value: int) -> int:
  """Sums a number over all processes; returns when all of them have reached this call."""
  if jax.process_count() == 1:
    return value
  return int(np.sum(multihost_utils.process_allgather(np.asarray(value))))
