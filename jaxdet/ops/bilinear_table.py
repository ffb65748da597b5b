"""Bilinear reads from a table in which the four neighbours of every place lie side by side: one gather of long rows.

The form for a CPU and a GPU. The backward pass reads the rows again, and adds up theirs by a scatter.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def read(feature, y, x, weights) -> Float[Array, 'B Q G D']:
  """See `bilinear_reads`; points are inside, or two cells away and without weight."""
  return jax.vmap(_read)(feature, y, x, weights)


def spread(feature, y, x, weights, cotangents) -> tuple[Array, Array, Array, Array]:
  """The gradients of all arguments of `read`, in the type of `cotangents`."""
  return jax.vmap(_spread)(feature, y, x, weights, cotangents)


def _read(feature, y, x, weights):
  cells, (left, right, top, lower) = _neighbours(feature.shape[:2], y, x)
  corners = jnp.stack([top * left, top * right, lower * left, lower * right], -1)
  rows = _rows(_table(feature), cells)
  return (rows * (corners * _groups_first(weights)[..., None])[..., None]).sum((2, 3)).swapaxes(0, 1)


def _spread(feature, y, x, weights, cotangents):
  cells, (left, right, top, lower) = _neighbours(feature.shape[:2], y, x)
  corners = jnp.stack([top * left, top * right, lower * left, lower * right], -1)
  weights = _groups_first(weights)
  table, cotangents = _table(feature), _groups_first(cotangents)[:, :, None, None]  # [G, Q, 1, 1, D]
  by_corner = (_rows(table, cells) * cotangents).sum(-1)
  c00, c01, c10, c11 = jnp.moveaxis(by_corner, -1, 0)
  by_y = weights * (left * (c10 - c00) + right * (c11 - c01))
  by_x = weights * (top * (c01 - c00) + lower * (c11 - c10))
  by_weights = (by_corner * corners).sum(-1)
  shares = (corners * weights[..., None])[..., None] * cotangents

  def by_cell(cells, rows):
    return jnp.zeros(table.shape[1:], rows.dtype).at[cells].add(rows, mode='promise_in_bounds')

  rows = jax.vmap(by_cell)(cells.reshape(len(cells), -1), shares.reshape(len(cells), -1, table.shape[2]))
  return _unpack(rows, feature.shape), *(g.swapaxes(0, 1) for g in (by_y, by_x, by_weights))


def _table(feature: Float[Array, 'H W G D']) -> Float[Array, 'G T 4*D']:
  """The neighbours of every place between cells, T = (height + 1) * (width + 1); zeros beyond the map."""
  height, width = feature.shape[:2]
  padded = jnp.pad(feature, ((1, 1), (1, 1), (0, 0), (0, 0)))
  packed = jnp.concatenate([padded[y : y + height + 1, x : x + width + 1] for y in (0, 1) for x in (0, 1)], -1)
  return packed.reshape(-1, *packed.shape[2:]).swapaxes(0, 1)


def _unpack(table: Float[Array, 'G T 4*D'], shape: tuple[int, ...]) -> Float[Array, 'H W G D']:
  """What every cell has in the table, summed: the transpose of `_table`."""
  height, width, groups, _ = shape
  packed = table.swapaxes(0, 1).reshape(height + 1, width + 1, groups, 4, -1)
  # Of the padded map: place (i, j) has the cells (i + y, j + x), of which the first is padding.
  parts = []
  for k, (y, x) in enumerate((y, x) for y in (0, 1) for x in (0, 1)):
    parts.append(packed[1 - y : 1 - y + height, 1 - x : 1 - x + width, :, k])
  return sum(parts)


def _neighbours(
  shape: tuple[int, int], y: Float[Array, 'Q G P'], x: Float[Array, 'Q G P']
) -> tuple[Int[Array, 'G Q P'], tuple[Float[Array, 'G Q P'], ...]]:
  """The row of the table that holds a point's neighbours, and the shares of the left, right, top and lower two."""
  y, x = _groups_first(y), _groups_first(x)
  first_y, first_x = jnp.floor(y), jnp.floor(x)
  right, lower = x - first_x, y - first_y
  cells = (first_y.astype(jnp.int32) + 1) * (shape[1] + 1) + first_x.astype(jnp.int32) + 1
  # Two cells away: the first row, whose first neighbour, the only one with a share, is padding.
  return jnp.maximum(cells, 0), (1 - right, right, 1 - lower, lower)


def _rows(table: Float[Array, 'G T 4*D'], cells: Int[Array, 'G Q P']) -> Float[Array, 'G Q P 4 D']:
  rows = jnp.take_along_axis(table, cells.reshape(len(cells), -1, 1), axis=1, mode='clip')
  return rows.reshape(*cells.shape, 4, -1)


def _groups_first(x: Float[Array, 'Q G ...']) -> Float[Array, 'G Q ...']:
  return x.swapaxes(0, 1)
