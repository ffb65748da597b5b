"""Parameters in two parts: those that are trained, and those that are held fixed.

Both parts have the structure of the whole with None, a node without leaves, where the other part has the
parameter. So gradients, clipping and optimizer state of the trained part know nothing of the other, and XLA
drops the backward pass below it.
"""

import re
from collections.abc import Sequence
from typing import Any

import jax

Params = dict[str, Any]


def trainable(params: Params, frozen: Sequence[str]) -> Params:
  """A tree of bool like `params`, False where one of the patterns is found in the parameter's path.

  Args:
    params: nested by network, as {'backbone': {'stem': {'conv': {'kernel': ..}}}}.
    frozen: regular expressions, `config.model.frozen`, as r'^backbone/(stem|stage2)/'.

  Raises:
    ValueError: a pattern that finds no parameter.
  """
  paths = jax.tree_util.tree_map_with_path(lambda path, _: path_name(path), params)
  for pattern in frozen:
    if not any(re.search(pattern, path) for path in jax.tree.leaves(paths)):
      raise ValueError(f"no parameter's path has '{pattern}' in it, a pattern of model.frozen")
  return jax.tree.map(lambda path: not any(re.search(pattern, path) for pattern in frozen), paths)


def path_name(path: tuple) -> str:
  """A tree path as text, 'backbone/conv1/kernel'."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def split(params: Params, trainable: Params) -> tuple[Params, Params]:
  """(trained, frozen) parts; `trainable` is a tree of bool like `params`."""
  trained = jax.tree.map(lambda param, keep: param if keep else None, params, trainable)
  frozen = jax.tree.map(lambda param, keep: None if keep else param, params, trainable)
  return trained, frozen


def merge(trained: Params, rest: Params) -> Params:
  """The trained part where it holds a parameter, `rest` (the frozen part or a whole tree) elsewhere."""
  return jax.tree.map(lambda a, b: b if a is None else a, trained, rest, is_leaf=lambda leaf: leaf is None)
