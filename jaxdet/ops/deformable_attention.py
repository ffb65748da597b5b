"""Multi-scale deformable attention (Zhu et al., 2021): every query reads a few points of every level.

The operator is that of mmcv and of Deformable DETR. A point's four neighbours lie side by side in a table made for the
call, so that one gather of long rows reads them; nothing that was gathered is kept for the backward pass.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

Shapes = tuple[tuple[int, int], ...]  # (height, width) of every level


def deformable_attention(
  values: Float[Array, 'S H D'],
  shapes: Shapes,
  locations: Float[Array, 'Q H L P 2'],
  weights: Float[Array, 'Q H L P'],
) -> Float[Array, 'Q H*D']:
  """The weighted sum of bilinear samples, for each query and head; for one image.

  Args:
    values: of all cells of all levels one after the other, each level row by row; of any float type. Sums are float32.
    shapes: of the levels; their cells are S together.
    locations: (x, y) from the outer edge of a level's first cell, 0, to that of its last, 1; all is zero beyond.
    weights: of the points.

  Raises:
    ValueError: where the levels do not have S cells.
  """
  cells = sum(height * width for height, width in shapes)
  if len(values) != cells:
    raise ValueError(f'levels of {shapes} have {cells} cells, but there are values of {len(values)}')
  return _attend(values, tuple(shapes), locations, weights)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _attend(values, shapes, locations, weights):
  total = 0.0
  for level, (table, shape) in enumerate(zip(_tables(values, shapes), shapes, strict=True)):
    cells, corners, _ = _neighbours(locations[:, :, level], shape)
    total += (_rows(table, cells) * (corners * _heads_first(weights[:, :, level])[..., None])[..., None]).sum((2, 3))
  queries = len(locations)
  return total.swapaxes(0, 1).reshape(queries, -1).astype(values.dtype)


def _forward(values, shapes, locations, weights):
  return _attend(values, shapes, locations, weights), (values, locations, weights)


def _backward(shapes, residuals, cotangents):
  values, locations, weights = residuals
  heads = values.shape[1]
  wide = cotangents.astype(jnp.promote_types(cotangents.dtype, jnp.float32))
  cotangents = wide.reshape(len(locations), heads, -1).swapaxes(0, 1)[:, :, None, None]  # [H, Q, 1, 1, D]
  by_values, by_locations, by_weights = [], [], []
  for level, (table, shape) in enumerate(zip(_tables(values, shapes), shapes, strict=True)):
    cells, corners, (left, right, top, lower) = _neighbours(locations[:, :, level], shape)
    weight = _heads_first(weights[:, :, level])
    by_corner = (_rows(table, cells) * cotangents).sum(-1)
    by_weights.append((by_corner * corners).sum(-1))
    c00, c01, c10, c11 = jnp.moveaxis(by_corner, -1, 0)
    by_x = weight * (top * (c01 - c00) + lower * (c11 - c10))
    by_y = weight * (left * (c10 - c00) + right * (c11 - c01))
    by_locations.append(jnp.stack([by_x * shape[1], by_y * shape[0]], -1))
    rows = (corners * weight[..., None])[..., None] * cotangents
    rows = rows.reshape(heads, -1, rows.shape[-2] * rows.shape[-1])
    by_values.append(_unpack(_sum_by_cell(rows, cells.reshape(heads, -1), table.shape[1]), shape))
  return (
    jnp.concatenate(by_values).astype(values.dtype),
    jnp.stack(by_locations, 2).swapaxes(0, 1).astype(locations.dtype),
    jnp.stack(by_weights, 2).swapaxes(0, 1).astype(weights.dtype),
  )


_attend.defvjp(_forward, _backward)


def _tables(values: Float[Array, 'S H D'], shapes: Shapes) -> list[Float[Array, 'H T 4D']]:
  """Of each level the neighbours of every place between cells, T = (height + 1) * (width + 1); zeros beyond the map."""
  tables, start = [], 0
  for height, width in shapes:
    level = values[start : start + height * width].reshape(height, width, *values.shape[1:])
    level = jnp.pad(level, ((1, 1), (1, 1), (0, 0), (0, 0)))
    packed = jnp.concatenate([level[y : y + height + 1, x : x + width + 1] for y in (0, 1) for x in (0, 1)], -1)
    tables.append(packed.reshape(-1, *packed.shape[2:]).swapaxes(0, 1))
    start += height * width
  return tables


def _unpack(table: Float[Array, 'H T 4D'], shape: tuple[int, int]) -> Float[Array, 'S H D']:
  """What every cell of a level has in the table, summed: the transpose of `_tables`."""
  height, width = shape
  packed = table.swapaxes(0, 1).reshape(height + 1, width + 1, table.shape[0], 4, -1)
  # Of the padded map: place (i, j) has the cells (i + y, j + x), of which the first is padding.
  parts = []
  for k, (y, x) in enumerate((y, x) for y in (0, 1) for x in (0, 1)):
    parts.append(packed[1 - y : 1 - y + height, 1 - x : 1 - x + width, :, k])
  return sum(parts).reshape(height * width, table.shape[0], -1)


def _neighbours(
  locations: Float[Array, 'Q H P 2'], shape: tuple[int, int]
) -> tuple[Int[Array, 'H Q P'], Float[Array, 'H Q P 4'], tuple[Float[Array, 'H Q P'], ...]]:
  """The row of the table that holds a point's neighbours, their shares, and those of left, right, top and lower two."""
  height, width = shape
  x, y = (_heads_first(locations[..., i]) * side - 0.5 for i, side in enumerate((width, height)))
  first_x, first_y = jnp.floor(x), jnp.floor(y)
  inside = (first_x >= -1) & (first_x < width) & (first_y >= -1) & (first_y < height)
  # What is not inside may be anything, also not a number.
  first_x, first_y, x, y = (jnp.where(inside, v, -1.0) for v in (first_x, first_y, x, y))
  cells = (first_y.astype(jnp.int32) + 1) * (width + 1) + first_x.astype(jnp.int32) + 1
  right, lower = x - first_x, y - first_y
  left, right, top, lower = (jnp.where(inside, share, 0.0) for share in (1 - right, right, 1 - lower, lower))
  corners = jnp.stack([top * left, top * right, lower * left, lower * right], -1)
  return cells, corners, (left, right, top, lower)


def _rows(table: Float[Array, 'H T 4D'], cells: Int[Array, 'H Q P']) -> Float[Array, 'H Q P 4 D']:
  rows = jnp.take_along_axis(table, cells.reshape(len(cells), -1, 1), axis=1, mode='clip')
  return rows.reshape(*cells.shape, 4, -1)


def _heads_first(x: Float[Array, 'Q H P']) -> Float[Array, 'H Q P']:
  return x.swapaxes(0, 1)


def _sum_by_cell(rows: Float[Array, 'H N C'], cells: Int[Array, 'H N'], count: int) -> Float[Array, 'H T C']:
  """The sum of the rows of each of `count` cells; a TPU scatters one row after the other, so there it sorts."""

  def of(form):
    return jax.vmap(partial(form, count=count))

  return lax.platform_dependent(rows, cells, tpu=of(sum_by_cell_sorted), default=of(sum_by_cell_scattered))


def sum_by_cell_scattered(rows: Float[Array, 'N C'], cells: Int[Array, 'N'], count: int) -> Float[Array, 'T C']:
  """The sum of the rows of each of `count` cells."""
  return jnp.zeros((count, rows.shape[1]), rows.dtype).at[cells].add(rows, mode='promise_in_bounds')


def sum_by_cell_sorted(rows: Float[Array, 'N C'], cells: Int[Array, 'N'], count: int) -> Float[Array, 'T C']:
  """The same without scatter: sorted by cell, summed by a scan that begins anew at every cell, read at their ends."""
  order = jnp.argsort(cells)
  cells, rows = cells[order], rows[order]
  begins = jnp.concatenate([jnp.ones(1, bool), cells[1:] != cells[:-1]])

  def add(before, after):
    return before[0] | after[0], jnp.where(after[0][:, None], after[1], before[1] + after[1])

  _, sums = lax.associative_scan(add, (begins, rows))
  every = jnp.arange(count)
  last = jnp.searchsorted(cells, every, side='right', method='sort') - 1
  found = (last >= 0) & (cells[last] == every)
  return jnp.where(found[:, None], sums[last], 0.0)
