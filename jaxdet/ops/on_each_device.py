"""Runs a function of a batch on every device over its own images."""

from collections.abc import Callable

import jax
from jax import lax
from jax.sharding import AbstractMesh, PartitionSpec

from jaxdet.sharding import DATA


def on_each_device(function: Callable, mesh: AbstractMesh | None, *, shared: int = 0, summed: bool = False) -> Callable:
  """Wraps `function` in a `jax.shard_map` over the `data` axis; returns it unchanged if `mesh` is None.

  Args:
    function: of arrays, or trees of them.
    mesh: `sharding.active_data_mesh()`.
    shared: number of leading arguments that are replicated; the others are sharded along their first axis.
    summed: results are sums over images, and are summed over devices; else their first axis is images.
  """
  if mesh is None:
    return function

  def over_devices(*args):
    specs = (PartitionSpec(),) * shared + (PartitionSpec(DATA),) * (len(args) - shared)
    part = (lambda *args: lax.psum(function(*args), DATA)) if summed else function
    out_specs = PartitionSpec() if summed else PartitionSpec(DATA)
    # check_vma is off: it would want the constants at the start of loops marked as varying between devices.
    return jax.shard_map(part, mesh=mesh, in_specs=specs, out_specs=out_specs, check_vma=False)(*args)

  return over_devices
