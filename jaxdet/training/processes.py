"""Joins the processes of one job."""

import os
from collections.abc import Mapping

import jax
from absl import logging


def initialize_processes(multihost: bool | None = None) -> None:
  """Joins the other processes of the job, if there are any; call it before anything touches a device.

  Args:
    multihost: True: there are, find them (Slurm, Open MPI, Cloud TPU and Kubernetes are found by JAX itself;
      elsewhere set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID); False: there are none;
      None: there are if the environment describes several.
  """
  if not (describes_several_processes(os.environ) if multihost is None else multihost):
    return
  number, index = os.environ.get('JAX_NUM_PROCESSES'), os.environ.get('JAX_PROCESS_ID')
  jax.distributed.initialize(num_processes=int(number) if number else None, process_id=int(index) if index else None)
  logging.info('process %d of %d, %d devices in all', jax.process_index(), jax.process_count(), jax.device_count())


def describes_several_processes(environment: Mapping[str, str]) -> bool:
  """Whether the environment is that of one process among several of a job."""
  # A Slurm job's own shell sees the job's task count too; only what srun starts sees a step's.
  counts = ('JAX_NUM_PROCESSES', 'SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE')
  return (
    any(int(environment.get(name) or 1) > 1 for name in counts)
    or 'JAX_COORDINATOR_ADDRESS' in environment
    or ',' in environment.get('TPU_WORKER_HOSTNAMES', '')
  )
