"""Flattens the outputs of a dense head to predictions: one row per anchor or point.

An output is one map per level, {level: [B, H, W, A, ...]}, or an array without levels, such as mask prototypes.
"""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

LevelMaps = Mapping[int, Float[Array, 'B _ _ A ...']]
Outputs = Mapping[str, LevelMaps | Array]  # by name: 'logits', 'box_regression', ..
Predictions = Mapping[str, Float[Array, 'N ...']]  # by name, of one image


def level_predictions(outputs: Outputs) -> dict[int, dict[str, Array]]:
  """Predictions of each level, finest first, as {name: [B, H * W * A, ...]}."""
  by_name = {name: maps for name, maps in outputs.items() if isinstance(maps, Mapping)}
  return {level: {name: _rows(maps[level]) for name, maps in by_name.items()} for level in sorted(outputs['logits'])}


def level_rows(outputs: Outputs, name: str) -> list[Array]:
  """Rows of one output of each level, finest first, as [B, H * W * A, ...]."""
  return [_rows(outputs[name][level]) for level in sorted(outputs[name])]


def all_predictions(outputs: Outputs) -> dict[str, Array]:
  """Predictions of all levels, finest first, as {name: [B, N, ...]}."""
  levels = list(level_predictions(outputs).values())
  return {name: jnp.concatenate([rows[name] for rows in levels], axis=1) for name in levels[0]}


def _rows(x: Float[Array, 'B H W A ...']) -> Float[Array, 'B N ...']:
  return x.reshape(x.shape[0], -1, *x.shape[4:])
