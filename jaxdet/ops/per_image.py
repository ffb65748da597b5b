"""Maps a function of one image over a batch, on every device over its own images."""

from collections.abc import Callable
from typing import TypeVar

import jax
from jax.sharding import PartitionSpec

Out = TypeVar('Out')

DATA = 'data'  # the mesh axis along which batches are cut


def per_image(function: Callable[..., Out]) -> Callable[..., Out]:
  """`jax.vmap(function)`, where no image's work leaves its device.

  XLA's partitioner gathers the operand of `top_k` over the whole batch, also along an axis that only vmap added,
  so that every device would rank every image's scores. Where a mesh is in context
  (`jax.sharding.use_abstract_mesh`) the map is therefore a `jax.shard_map` over its `data` axis.
  """
  mapped = jax.vmap(function)

  def over_batch(*args):
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.shape[DATA] == 1:
      return mapped(*args)
    spec = PartitionSpec(DATA)
    # Loops inside begin with constants, which the check would want marked as differing between devices.
    return jax.shard_map(mapped, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)(*args)

  return over_batch
