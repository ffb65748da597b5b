"""Prints the progress of a training run: steps, speed and metrics."""

import contextlib
import datetime
import resource
import sys
import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np


class Progress:
  """Collects the metrics of steps and reports them as one aligned line.

  Speeds exclude the time spent in `pause` (compilation, checkpoints, evaluation).
  """

  def __init__(self, total_steps: int, batch_size: int):
    self._total_steps, self._batch_size = total_steps, batch_size
    self._rows: list[dict[str, float]] = []
    self._timed = 0  # steps since the last line, without those in a pause
    self._steps, self._seconds = 0, 0.0  # timed steps and their seconds, of all lines so far
    self._since = time.perf_counter()
    self._waited = 0.0

  @contextlib.contextmanager
  def pause(self) -> Iterator[None]:
    """Context whose time is excluded from speeds."""
    started = time.perf_counter()
    try:
      yield
    finally:
      self._since += time.perf_counter() - started

  def add(self, metrics: Mapping[str, float], timed: bool = True) -> None:
    """Adds the metrics of one step; `timed` is False if it ran in a pause."""
    self._rows.append(dict(metrics))
    self._timed += timed

  def report(self, step: int, waited: float) -> tuple[str, dict[str, float]]:
    """(line for the log, scalars for the files): means of the metrics since the last report, and speeds.

    Args:
      step: number of steps done.
      waited: total seconds that the devices have waited for input.
    """
    now = time.perf_counter()
    seconds = max(now - self._since, 1e-9)
    rows, self._rows = self._rows, []
    steps, self._timed = self._timed, 0
    self._steps, self._seconds = self._steps + steps, self._seconds + seconds
    scalars = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    scalars['lr'] = rows[-1]['lr']
    scalars['images_per_second'] = steps * self._batch_size / seconds
    scalars['input_wait'] = min(1.0, (waited - self._waited) / seconds)
    scalars['memory_gib'] = peak_memory() / 2**30
    self._since, self._waited = now, waited
    left = (self._total_steps - step) * self._seconds / max(self._steps, 1)
    return self._line(step, left, scalars), scalars

  def _line(self, step: int, left: float, scalars: dict[str, float]) -> str:
    width = len(str(self._total_steps))
    losses = {name: scalars[name] for name in scalars if name.startswith('loss_')}
    parts = [
      f'step {step:{width}d}/{self._total_steps}',
      f'eta {datetime.timedelta(seconds=round(left))}',
      f'{scalars["images_per_second"]:7.2f} images/s',
      f'wait {100 * scalars["input_wait"]:3.0f}%',
      f'lr {scalars["lr"]:.2e}',
      f'loss {scalars["total_loss"]:8.4f}',
      *(f'{name.removeprefix("loss_")} {value:7.4f}' for name, value in sorted(losses.items())),
      f'grad {scalars["grad_norm"]:7.2f}',
      f'mem {scalars["memory_gib"]:.1f}G',
    ]
    return '  '.join(parts)


def peak_memory() -> int:
  """Peak memory in bytes: of the first local device if it counts them, else of this process on the host."""
  stats = jax.local_devices()[0].memory_stats() or {}
  if 'peak_bytes_in_use' in stats:
    return stats['peak_bytes_in_use']
  unit = 1 if sys.platform == 'darwin' else 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
