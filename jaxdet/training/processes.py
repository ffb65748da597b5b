"""Connects the processes of a job."""

import os
from collections.abc import Mapping

import jax
from absl import logging


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
