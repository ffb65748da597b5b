"""Where arrays live: one axis of devices, the batch cut along it, everything else on all of them.

All sharding rules are here. A detector keeps the batch a leading axis of its own, so that XLA adds nothing but
sums over devices (all-reduces) to the step.
"""

import os

import jax
import numpy as np
from absl import logging
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxdet.ops.on_each_device import DATA
from jaxdet.structures import Batch


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


def describes_several_processes(environment) -> bool:
  """Whether the environment is that of one process among several of a job."""
  # A Slurm job's own shell sees the job's task count too; only what srun starts sees a step's.
  counts = ('JAX_NUM_PROCESSES', 'SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE')
  return (
    any(int(environment.get(name) or 1) > 1 for name in counts)
    or 'JAX_COORDINATOR_ADDRESS' in environment
    or ',' in environment.get('TPU_WORKER_HOSTNAMES', '')
  )


def make_mesh() -> Mesh:
  """All devices of all processes along one axis, 'data'."""
  return jax.make_mesh((jax.device_count(),), (DATA,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
  """Whole on every device: parameters, optimizer state, metrics."""
  return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
  """Cut along the leading axis."""
  return NamedSharding(mesh, PartitionSpec(DATA))


def put_batch(batch: Batch, mesh: Mesh) -> Batch:
  """The global batch on the devices, from this process's part of it on the host."""
  sharding = over_batch(mesh)
  return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch)


def check_batch_size(batch_size: int, accumulate: int, mesh: Mesh) -> None:
  """Raises ValueError where a batch cannot be cut into equal micro-batches on every device."""
  if batch_size % (mesh.size * accumulate):
    raise ValueError(
      f'train.batch_size {batch_size} is no multiple of {mesh.size} devices * {accumulate} micro-batches '
      f'(train.accumulate): choose a multiple of {mesh.size * accumulate}'
    )
