"""Compares what the processes of a job have read."""

import hashlib
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils


def check_same_on_all_processes(words: Sequence[str], what: str) -> None:
  """Raises a ValueError on all processes of a job unless all of them have the same words; `what` is for the message."""
  if jax.process_count() == 1:
    return
  mine = np.frombuffer(hashlib.sha256('\0'.join(words).encode()).digest(), np.uint32)
  everyones = np.asarray(multihost_utils.process_allgather(mine))
  different = np.flatnonzero((everyones != everyones[0]).any(axis=1)).tolist()
  if different:
    raise ValueError(f'processes {different} of the job have other {what} than process 0')
