"""Maps a function of one image over a batch, on every device over its own images."""

from collections.abc import Callable
from typing import TypeVar

import jax

from jaxdet.ops.on_each_device import on_each_device
from jaxdet.sharding import active_data_mesh

Out = TypeVar('Out')


def per_image(function: Callable[..., Out]) -> Callable[..., Out]:
  """Maps `function` over the batch with `jax.vmap`; each device works on its own images.

  With vmap alone XLA's partitioner gathers the operand of `top_k` over the whole batch, so that every device would
  rank every image's scores.
  """
  mapped = jax.vmap(function)
  return lambda *args: on_each_device(mapped, active_data_mesh())(*args)
