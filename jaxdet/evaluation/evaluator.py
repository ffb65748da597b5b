"""The contract between the loop over batches and what measures: batches with detections in, metrics out."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxdet.structures import Batch, Dataset, Detections

Metrics = dict[str, Any]  # what metrics.json holds; of dicts in it each number has a name such as 'segm/AP'


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What an evaluator is for: made once an evaluation, on every process."""

  config: ConfigDict  # `eval` is for evaluators, `model.test` for their diagnoses
  dataset: Dataset
  workdir: str  # that all processes share


class Evaluator(contextlib.AbstractContextManager):
  """Measures the detections of a split; a context, so that it may hold files and processes.

  Each process adds its own batches and then finishes; `finish` waits for the others where it needs them.
  """

  def add(self, batch: Batch, detections: Detections) -> None:
    """Takes a batch and its detections as NumPy arrays."""
    raise NotImplementedError

  def finish(self, findings: Sequence[str]) -> Metrics:
    """Writes the report and gives the metrics, the same on every process.

    Args:
      findings: sentences on what is known to be wrong already.
    """
    raise NotImplementedError

  def __enter__(self) -> Self:
    return self

  def __exit__(self, kind, error, trace) -> None:
    """Lets go of what the evaluator holds, also where it was not finished."""


def barrier(name: str) -> None:
  """Waits until every process has come this far."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def sum_over_processes(value: int) -> int:
  """The sum of a number of each process; all of them have come this far when it returns."""
  if jax.process_count() == 1:
    return value
  return int(np.sum(multihost_utils.process_allgather(np.asarray(value))))
