"""Connects the processes of a job, and compares what they have read."""

import hashlib
import os
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils


def initialize_processes(multihost: bool | None = None) -> None:
  """Connects to the other processes of the job, if there are any; call it before anything uses a device.

  Args:
    multihost: True: several processes (JAX detects Slurm, Open MPI, Cloud TPU and Kubernetes; elsewhere set
      JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID); False: one process; None: several if the
      environment describes several.
  """
  if not (describes_several_processes(os.environ) if multihost is None else multihost):
    return
  number, index = os.environ.get('JAX_NUM_PROCESSES'), os.environ.get('JAX_PROCESS_ID')
  jax.distributed.initialize(num_processes=int(number) if number else None, process_id=int(index) if index else None)
  logging.info('process %d of %d, %d devices in all', jax.process_index(), jax.process_count(), jax.device_count())


def describes_several_processes(environment: Mapping[str, str]) -> bool:
  """True if the environment is that of one of several processes of a job."""
  # The shell of a Slurm job sees the job's task count too; only processes started by srun see a step's.
  counts = ('JAX_NUM_PROCESSES', 'SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE')
  return (
    any(int(environment.get(name) or 1) > 1 for name in counts)
    or 'JAX_COORDINATOR_ADDRESS' in environment
    or ',' in environment.get('TPU_WORKER_HOSTNAMES', '')
  )


def check_same_on_all_processes(words: Sequence[str], what: str) -> None:
  """Raises a ValueError on all processes of a job unless all of them have the same words; `what` is for the message."""
  if jax.process_count() == 1:
    return
  mine = np.frombuffer(hashlib.sha256('\0'.join(words).encode()).digest(), np.uint32)
  everyones = np.asarray(multihost_utils.process_allgather(mine))
  different = np.flatnonzero((everyones != everyones[0]).any(axis=1)).tolist()
  if different:
    raise ValueError(f'processes {different} of the job have other {what} than process 0')
