"""Rematerialisation: intermediate values that the backward pass computes again, so that nothing has to keep them."""

from typing import Any

import flax.linen as nn

# Of config.model.remat. 'blocks': of every residual block of a ResNet and every layer of a transformer only the inputs
# are kept, for which the training step computes each of them twice. XLA for a CPU merges the two, and saves nothing.
KINDS = ('', 'blocks')


def apply_block(remat: str, block: nn.Module, *inputs: Any, **settings: Any) -> Any:
  """`block(*inputs, **settings)`, a block or layer in the sense of KINDS; parameters and results are the same.

  Args:
    remat: of KINDS.
    block: a submodule that has its name.
    inputs: trees of arrays.
    settings: what is no array.

  Raises:
    ValueError: there is no such kind.
  """
  if remat not in KINDS:
    raise ValueError(f"unknown model.remat '{remat}': choose one of {', '.join(map(repr, KINDS))}")
  if not remat:
    return block(*inputs, **settings)
  return nn.remat(lambda block, *inputs: block(*inputs, **settings))(block, *inputs)
