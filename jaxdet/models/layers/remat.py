"""Rematerialisation: the backward pass recomputes intermediate values, so that they need not be stored."""

from typing import Any

import flax.linen as nn

# Values of config.model.remat. 'blocks': only the inputs of every residual block and every transformer layer
# are stored, and the training step computes each block twice. XLA for CPUs merges the two and saves no memory.
KINDS = ('', 'blocks')


def apply_block(remat: str, block: nn.Module, *inputs: Any, **settings: Any) -> Any:
  """Calls `block(*inputs, **settings)`, rematerialised if `remat` asks for it; parameters and results are the same.

  Args:
    remat: one of KINDS.
    block: a named submodule.
    inputs: trees of arrays.
    settings: static arguments.

  Raises:
    ValueError: there is no such kind.
  """
  if remat not in KINDS:
    raise ValueError(f"unknown model.remat '{remat}': choose one of {', '.join(map(repr, KINDS))}")
  if not remat:
    return block(*inputs, **settings)
  return nn.remat(lambda block, *inputs: block(*inputs, **settings))(block, *inputs)
