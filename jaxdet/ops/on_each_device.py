"""Runs a function of a batch on every device over its own images."""

from collections.abc import Callable

import jax
from jax import lax
from jax.sharding import AbstractMesh, PartitionSpec

from jaxdet.sharding import DATA


def on_each_device(function: Callable, mesh: AbstractMesh | None, *, shared: int = 0, summed: bool = False) -> Callable:
  """`function` as a `jax.shard_map` over the `data` axis; itself where `mesh` is None.

  Args:
    function: of arrays, or trees of them.
    mesh: `sharding.active_data_mesh()`.
    shared: how many of the first arguments every device has whole; the others are cut along their first axis.
    summed: the results are sums over images, to be summed over devices; else they have an axis of images first.
  """
  if mesh is None:
    return function

  def over_devices(*args):
    specs = (PartitionSpec(),) * shared + (PartitionSpec(DATA),) * (len(args) - shared)
    part = (lambda *args: lax.psum(function(*args), DATA)) if summed else function
    out_specs = PartitionSpec() if summed else PartitionSpec(DATA)
    # Loops inside begin with constants, which the check would want marked as differing between devices.
    return jax.shard_map(part, mesh=mesh, in_specs=specs, out_specs=out_specs, check_vma=False)(*args)

  return over_devices
