"""The mesh and the shardings: one axis of devices, the batch cut along it, everything else whole on all of them.

This is the only place where a mesh is made or looked up. A detector keeps the batch a leading axis of its own, so that
XLA adds nothing but sums over devices (all-reduces) to the step.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

DATA = 'data'  # the mesh axis along which batches are cut


def make_mesh() -> Mesh:
  """All devices of all processes along one axis, 'data'."""
  return jax.make_mesh((jax.device_count(),), (DATA,), axis_types=(AxisType.Auto,))


def active_data_mesh() -> AbstractMesh | None:
  """The mesh in context (`jax.sharding.use_abstract_mesh`) whose devices hold parts of a batch; None: there is none.

  There is none with one device, nor inside of a function that `ops.on_each_device` runs.
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
  """Whole on every device: parameters, optimizer state, metrics."""
  return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
  """Cut along the leading axis."""
  return NamedSharding(mesh, PartitionSpec(DATA))


def put_batch(batch: Any, mesh: Mesh) -> Any:
  """The global batch on the devices, from this process's part of it on the host.

  Args:
    batch: a tree of NumPy arrays, a `structures.Batch`, each with an axis of images first.
    mesh: of `make_mesh`.
  """
  sharding = over_batch(mesh)
  return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch)


def check_batch_size(batch_size: int, accumulate: int, mesh: Mesh) -> None:
  """Raises ValueError where a batch cannot be cut into equal micro-batches on every device."""
  if batch_size % (mesh.size * accumulate):
    raise ValueError(
      f'train.batch_size {batch_size} is no multiple of {mesh.size} devices * {accumulate} micro-batches '
      f'(train.accumulate): choose a multiple of {mesh.size * accumulate}'
    )
