"""Handles SIGTERM, by which clusters announce that a job must end soon."""

import signal

import jax
from jax.experimental import multihost_utils


class PreemptionGuard:
  """Context in which the first SIGTERM is only noted; a second one ends the process as usual.

  With several processes jax.distributed handles the signal, and the processes agree on the last step.
  """

  def __init__(self):
    self._noted = False
    self._handles = jax.process_count() == 1

  def requested(self, step: int) -> bool:
    """True if training must end after `step`; every process must ask after every step, and all get the same answer."""
    return self._noted if self._handles else multihost_utils.reached_preemption_sync_point(step)

  def __enter__(self) -> 'PreemptionGuard':
    if self._handles:
      self._previous = signal.signal(signal.SIGTERM, self._note)
    return self

  def __exit__(self, *_) -> None:
    if self._handles:
      signal.signal(signal.SIGTERM, self._previous)

  def _note(self, signum, frame) -> None:
    self._noted = True
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
