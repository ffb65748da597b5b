"""Training loop: reads batches, writes checkpoints and metrics; resumes from the workdir."""

import pathlib
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from jaxtyping import Array
from ml_collections import ConfigDict

from jaxdet import sharding
from jaxdet.structures import Batch, Dataset
from jaxdet.training import freezing, schedules
from jaxdet.training.checkpoint import Checkpoints, Metadata, initialize_from
from jaxdet.training.metric_writer import MetricWriter
from jaxdet.training.optimizer import build_optimizer
from jaxdet.training.preemption import PreemptionGuard
from jaxdet.training.prefetch import Prefetcher
from jaxdet.training.progress import Progress
from jaxdet.training.state import TrainState, abstract_state, create_state
from jaxdet.training.step import make_train_step

Evaluate = Callable[[dict[str, Any]], Mapping[str, Any]]
PREEMPTED = 128 + 15  # exit status of a process that SIGTERM ended


def train(config: ConfigDict, workdir: str, dataset: Dataset, detector, evaluate: Evaluate | None = None) -> TrainState:
  """Trains for `config.train.steps` steps, from the last checkpoint in the workdir if there is one.

  Writes `checkpoints/` (the last few), `best/` (the best by `train.best_metric`), `metrics.jsonl` and
  `tensorboard/`. On SIGTERM it writes a checkpoint and ends the process with status 143; the same command resumes from
  it.

  Args:
    config: the whole configuration.
    workdir: folder of the run.
    dataset: training batches and the category table.
    detector: see docs/design.md, 'A detector'.
    evaluate: function from variables to metrics, {'bbox': {'AP': ..}, ..}; called every `train.eval_every` steps and
      at the end.

  Returns:
    The state after the last step.

  Raises:
    FloatingPointError: a loss or the gradient norm is not finite; such a state is never written.
  """
  return _Run(config, pathlib.Path(workdir), dataset, detector, evaluate).run()


class _Run:
  """One call of `train`."""

  def __init__(self, config: ConfigDict, workdir: pathlib.Path, dataset: Dataset, detector, evaluate: Evaluate | None):
    self.config, self.dataset, self.evaluate = config, dataset, evaluate
    self.started = time.perf_counter()
    self.until_first_step: float | None = None  # seconds; None once written
    self.mesh = sharding.make_mesh()
    sharding.check_batch_size(config.train.batch_size, config.train.accumulate, self.mesh)
    replicated = sharding.replicated(self.mesh)
    keys = jax.jit(lambda: tuple(jax.random.split(jax.random.key(config.seed))), out_shardings=replicated)
    init_key, self.key = keys()
    self.metadata = Metadata(config, tuple(dataset.categories))
    self.checkpoints = Checkpoints(str(workdir / 'checkpoints'), config.train.keep_checkpoints)
    self.best = Checkpoints(str(workdir / 'best'), keep=1)
    self.state = self._start(detector, init_key)
    self.step = int(self.state.step)
    self.train_step = make_train_step(config, detector, build_optimizer(config, self.state.params), self.mesh)
    self.forms: set[Hashable] = set()  # of the batches for which the step is compiled
    # A step's number, its metrics, and whether it was timed.
    self.pending_metrics: tuple[int, dict[str, Array], bool] | None = None
    self.counters: dict[str, int] = {}
    self.progress = Progress(config.train.steps, config.train.batch_size)
    self.writer = MetricWriter(str(workdir), self.step) if jax.process_index() == 0 else None

  def run(self) -> TrainState:
    settings = self.config.train
    logging.info('%s', schedules.describe(settings))
    self.prefetcher = Prefetcher(self.dataset.train_batches(self.step), self.mesh)
    try:
      with PreemptionGuard() as guard:
        while self.step < settings.steps:
          self._advance()
          last = self.step == settings.steps
          preempted = guard.requested(self.step)
          evaluation_due = not last and _due(self.step, settings.eval_every)
          if last or preempted or evaluation_due or _due(self.step, settings.checkpoint_every):
            self._save()
          if preempted:
            self._exit()
          if evaluation_due:
            self._evaluate()
      self._evaluate()
      return self.state
    finally:
      self._close()

  def _start(self, detector, key: Array) -> TrainState:
    """Initial state: from the last checkpoint, or with the parameters of another run."""
    config, step = self.config, self.checkpoints.latest()
    if step is not None:
      logging.info('going on from step %d', step)
      return self.checkpoints.restore(step, like=abstract_state(config, detector, self.mesh))
    state = create_state(config, detector, key, self.mesh)
    if not config.train.init_from:
      return state
    trainable = freezing.trainable(state.params, config.model.frozen)
    return initialize_from(state, config.train.init_from, trainable, config.train.init_except)

  def _advance(self) -> None:
    """Dispatches a step, then reads the metrics of the previous step, which is finished."""
    running = self.pending_metrics[1]['total_loss'] if self.pending_metrics else None
    batch = self.prefetcher.next_batch(running)
    form = batch.image.shape, jax.tree.structure(batch)  # sources may differ in their kinds of annotation
    known = form in self.forms
    if known:
      metrics = self._dispatch(batch)
    else:
      self._read()
      with self.progress.pause():
        started = time.perf_counter()
        metrics = jax.block_until_ready(self._dispatch(batch))
        seconds = time.perf_counter() - started
      self.forms.add(form)
      logging.info('first step on images %s: %.1f s, with compilation', batch.image.shape, seconds)
      if len(self.forms) == 1:
        self.until_first_step = time.perf_counter() - self.started
        logging.info('the first step was done %.1f s after training began', self.until_first_step)
    self.step += 1
    self._read()
    self.pending_metrics = (self.step, metrics, known)

  def _dispatch(self, batch: Batch) -> dict[str, Array]:
    # No implicit transfers between host and devices.
    with jax.transfer_guard('disallow'):
      self.state, metrics = self.train_step(self.state, batch, self.key)
    return metrics

  def _read(self) -> None:
    """Reads pending metrics to the host and checks that they are finite."""
    if self.pending_metrics is None:
      return
    (step, metrics, timed), self.pending_metrics = self.pending_metrics, None
    metrics = {name: float(value) for name, value in jax.device_get(metrics).items()}
    check_finite(step, metrics)
    self.progress.add(metrics, timed)
    if _due(step, self.config.train.log_every) or step == self.config.train.steps:
      self._log(step)

  def _log(self, step: int) -> None:
    line, scalars = self.progress.report(step, self.prefetcher.waited)
    if self.until_first_step is not None:
      scalars['seconds_to_first_step'], self.until_first_step = self.until_first_step, None
    if self.writer:
      logging.info('%s', line)
      self.writer.write(step, scalars)
    counters = {name: count for name, count in self.dataset.counters().items() if count}
    if counters != self.counters:
      logging.info('input: %s', ', '.join(f'{name} {count}' for name, count in sorted(counters.items())))
      self.counters = counters

  def _save(self) -> None:
    # Read first, so that only a state with finite metrics is written.
    self._read()
    with self.progress.pause():
      self.checkpoints.save(self.state, self.metadata)

  def _evaluate(self) -> None:
    if self.evaluate is None:
      return
    with self.progress.pause():
      metrics = flat_metrics(self.evaluate(self.state.variables))
      if self.writer and metrics:
        self.writer.write(self.step, {f'eval/{name}': value for name, value in metrics.items()})
      self._keep_best(metrics)

  def _keep_best(self, metrics: Mapping[str, float]) -> None:
    name = self.config.train.best_metric
    if name not in metrics:
      logging.warning("no value for train.best_metric '%s' among %s", name, ', '.join(sorted(metrics)))
      return
    step = self.best.latest()
    before = -np.inf if step is None else self.best.metadata(step).metrics.get(name, -np.inf)
    value = metrics[name]
    if value > before:
      logging.info('best %s so far: %.4f', name, value)
      self.best.save(self.state, Metadata(self.config, self.metadata.categories, metrics=metrics))
      self.best.wait()

  def _exit(self) -> None:
    self.checkpoints.wait()
    logging.info('terminated after step %d; the same command goes on from there', self.step)
    raise SystemExit(PREEMPTED)

  def _close(self) -> None:
    self.prefetcher.close()
    self.checkpoints.close()
    self.best.close()
    if self.writer:
      self.writer.close()


def check_finite(step: int, metrics: Mapping[str, float]) -> None:
  """Raises FloatingPointError with all metrics if a loss or the gradient norm is not finite."""
  watched = {k: v for k, v in metrics.items() if k.startswith('loss_') or k in ('total_loss', 'grad_norm')}
  if not all(np.isfinite(value) for value in watched.values()):
    values = ', '.join(f'{name} {value:g}' for name, value in sorted(watched.items()))
    raise FloatingPointError(
      f'step {step} is not finite: {values}. A lower learning rate or train.optimizer.clip_norm helps'
    )


def flat_metrics(metrics: Mapping[str, Any], prefix: str = '') -> dict[str, float]:
  """Flattens {'segm': {'AP': 30.0}} to {'segm/AP': 30.0}; drops values that are not finite numbers."""
  flat = {}
  for name, value in metrics.items():
    if isinstance(value, Mapping):
      flat |= flat_metrics(value, f'{prefix}{name}/')
    elif isinstance(value, int | float | np.number) and np.isfinite(value):
      flat[f'{prefix}{name}'] = float(value)
  return flat


def _due(step: int, every: int) -> bool:
  return every > 0 and step % every == 0
