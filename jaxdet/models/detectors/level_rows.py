"""What a dense head makes of the pyramid's levels, as rows: one for every anchor or point."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

Maps = Mapping[str, Mapping[int, Float[Array, 'B _ _ A ...']]]  # by name ('logits', 'boxes', ..) and level
Rows = Mapping[str, Float[Array, 'N ...']]  # by name, of an image


def level_rows(maps: Maps) -> dict[int, dict[str, Array]]:
  """The maps of each level, finest first, as {name: [B, H * W * A, ...]}."""
  levels = sorted(maps['logits'])
  return {level: {name: _rows(by_level[level]) for name, by_level in maps.items()} for level in levels}


def all_rows(maps: Maps) -> dict[str, Array]:
  """The maps of all levels, finest first, as {name: [B, N, ...]}."""
  levels = level_rows(maps).values()
  return {name: jnp.concatenate([rows[name] for rows in levels], axis=1) for name in maps}


def _rows(x: Float[Array, 'B H W A ...']) -> Float[Array, 'B N ...']:
  return x.reshape(x.shape[0], -1, *x.shape[4:])
