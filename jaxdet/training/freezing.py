"""Splits parameters into a trained and a frozen part.

Both parts have the structure of the whole, with None (a node without leaves) in place of the other part's parameters.
So gradients, clipping and optimizer state exist for the trained part only, and XLA drops the backward pass of the
frozen part.
"""

import re
from collections.abc import Sequence
from typing import Any

import jax

Params = dict[str, Any]


def trainable(params: Params, frozen: Sequence[str]) -> Params:
  """Tree of bool like `params`: False if one of the patterns is found in the parameter's path.

  Args:
    params: nested by network, such as {'backbone': {'stem': {'conv': {'kernel': ..}}}}.
    frozen: regular expressions, `config.model.frozen`, such as r'^backbone/(stem|stage2)/'.

  Raises:
    ValueError: a pattern finds no parameter.
  """
  paths = jax.tree_util.tree_map_with_path(lambda path, _: path_name(path), params)
  for pattern in frozen:
    if not any(re.search(pattern, path) for path in jax.tree.leaves(paths)):
      raise ValueError(f"no parameter's path has '{pattern}' in it, a pattern of model.frozen")
  return jax.tree.map(lambda path: not any(re.search(pattern, path) for pattern in frozen), paths)


def path_name(path: tuple) -> str:
  """Converts a tree path to text, 'backbone/conv1/kernel'."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def split(params: Params, trainable: Params) -> tuple[Params, Params]:
  """Splits parameters into (trained, frozen); `trainable` is a tree of bool like `params`."""
  trained = jax.tree.map(lambda param, keep: param if keep else None, params, trainable)
  frozen = jax.tree.map(lambda param, keep: None if keep else param, params, trainable)
  return trained, frozen


def merge(trained: Params, rest: Params) -> Params:
  """Merges the trained part with `rest` (the frozen part or a whole tree); trained parameters have priority."""
  return jax.tree.map(lambda a, b: b if a is None else a, trained, rest, is_leaf=lambda leaf: leaf is None)
