"""Parameters in two parts: what is trained, and what is held fixed.

Both parts have the structure of the whole with None, a node without leaves, where the other part has the
parameter. So gradients, clipping and optimizer state of the trained part know nothing of the other, and XLA
drops the backward pass below it.
"""

from typing import Any

import jax

Params = dict[str, Any]


def split(params: Params, trainable: Params) -> tuple[Params, Params]:
  """(trained, frozen) parts; `trainable` is a tree of bool like `params`."""
  trained = jax.tree.map(lambda param, keep: param if keep else None, params, trainable)
  frozen = jax.tree.map(lambda param, keep: None if keep else param, params, trainable)
  return trained, frozen


def merge(trained: Params, rest: Params) -> Params:
  """The trained part where it holds a parameter, `rest` (the frozen part or a whole tree) elsewhere."""
  return jax.tree.map(lambda a, b: b if a is None else a, trained, rest, is_leaf=lambda leaf: leaf is None)
