"""Connects the processes of a job."""

import os
import socket
from collections.abc import Callable, Mapping

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

  Raises:
    ValueError: the machine does not know its own name.
  """
  if not (describes_several_processes(os.environ) if multihost is None else multihost):
    return
  if not knows_own_name():
    name = socket.gethostname()
    raise ValueError(
      f"this machine does not know its own name '{name}', by which the processes of a job find each other: "
      f"add the line '127.0.1.1 {name}' to /etc/hosts"
    )
  number, index = os.environ.get('JAX_NUM_PROCESSES'), os.environ.get('JAX_PROCESS_ID')
  jax.distributed.initialize(num_processes=int(number) if number else None, process_id=int(index) if index else None)
  logging.info('process %d of %d, %d devices in all', jax.process_index(), jax.process_count(), jax.device_count())


def check_together(check: Callable[[], None]) -> None:
  """Runs a check on every process of the job; if one refuses, all do, so that none waits for another for ever.

  Raises:
    Exception: what `check` raised here; else a ValueError with the text of the first process that refused.
  """
  refusal = None
  try:
    check()
  except Exception as error:  # of any kind: the other processes must know
    refusal = error
  texts = [] if jax.process_count() == 1 else gather_texts('' if refusal is None else str(refusal) or repr(refusal))
  if refusal is not None:
    raise refusal
  if said := [text for text in texts if text]:
    raise ValueError(said[0])


def gather_texts(text: str) -> list[str]:
  """Texts of all processes, in order; returns when all of them have reached this call."""
  mine = np.frombuffer(text.encode(), np.uint8)
  lengths = np.asarray(multihost_utils.process_allgather(np.int32(len(mine)))).ravel()
  padded = np.pad(mine, (0, int(lengths.max()) + 1 - len(mine)))
  rows = np.asarray(multihost_utils.process_allgather(padded)).reshape(len(lengths), -1)
  return [bytes(row[:length]).decode() for row, length in zip(rows, lengths, strict=True)]


def describes_several_processes(environment: Mapping[str, str]) -> bool:
  """True if the environment is that of one of several processes of a job."""
  # The shell of a Slurm job sees the job's task count too; only processes started by srun see a step's.
  counts = ('JAX_NUM_PROCESSES', 'SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE')
  return (
    any(int(environment.get(name) or 1) > 1 for name in counts)
    or 'JAX_COORDINATOR_ADDRESS' in environment
    or ',' in environment.get('TPU_WORKER_HOSTNAMES', '')
  )


def knows_own_name() -> bool:
  """Whether this machine resolves its own name; bare containers and chroots may not.

  XLA connects the processes' CPUs by it, in jobs on other devices too, and fails without saying so.
  """
  try:
    socket.getaddrinfo(socket.gethostname(), None)
  except socket.gaierror:
    return False
  return True
