"""Mesh and shardings: one axis of devices; the batch is sharded along it, everything else is replicated.

This is the only place where a mesh is made or looked up. A detector keeps the batch as leading axis, so that XLA adds
only sums over devices (all-reduces) to the step.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

DATA = 'data'  # mesh axis along which batches are sharded


def make_mesh() -> Mesh:
  """Makes a mesh of all devices of all processes along one axis, 'data'."""
  return jax.make_mesh((jax.device_count(),), (DATA,), axis_types=(AxisType.Auto,))


def active_data_mesh() -> AbstractMesh | None:
  """Returns the mesh in context (`jax.sharding.use_abstract_mesh`) over which batches are sharded, or None.

  It is None with one device, and inside functions that `ops.on_each_device` runs.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.shape[DATA] == 1 or DATA in mesh.manual_axes:
    return None
  return mesh


def on_mesh(function: Callable, mesh: Mesh) -> Callable:
  """The function with `mesh` in context, where `active_data_mesh` finds it."""

  @functools.wraps(function)
  def with_mesh(*args):
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return function(*args)

  return with_mesh


def replicated(mesh: Mesh) -> NamedSharding:
  """Sharding of parameters, optimizer state and metrics: replicated on every device."""
  return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
  """Sharding along the leading axis."""
  return NamedSharding(mesh, PartitionSpec(DATA))


def put_batch(batch: Any, mesh: Mesh) -> Any:
  """Puts the global batch on the devices, from this process's part of it on the host.

  Args:
    batch: a tree of NumPy arrays, a `structures.Batch`, each with an axis of images first.
    mesh: from `make_mesh`.
  """
  sharding = over_batch(mesh)
  return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch)


def check_batch_size(batch_size: int, accumulate: int, mesh: Mesh) -> None:
  """Raises ValueError if a batch cannot be split into equal micro-batches on every device."""
  if batch_size % (mesh.size * accumulate):
    raise ValueError(
      f'train.batch_size {batch_size} is no multiple of {mesh.size} devices * {accumulate} micro-batches '
      f'(train.accumulate): choose a multiple of {mesh.size * accumulate}'
    )
