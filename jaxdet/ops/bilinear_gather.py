"""Bilinear reads by gathering the four neighbours of every point, and by scattering their gradients.

The form for GPUs and CPUs. The backward pass reads the neighbours again. A CPU takes queries in chunks, so that the
gathered rows stay in its cache: all at once takes about four times as long, see docs/benchmarks.md.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

CHUNK = 2**18  # values gathered per chunk, about


def read(feature, y, x, weights) -> Float[Array, 'B Q G D']:
  """Computes `bilinear_reads`; points outside the map are at -2 and have weight 0."""
  total = _sum(_padded(feature), feature.shape, *map(_maps_first, (y, x, weights)))
  return _queries_first(total, len(feature))


def backward(feature, y, x, weights, cotangents) -> tuple[Array, Array, Array, Array]:
  """Gradients of all arguments of `read`, in the type of `cotangents`."""
  rows = _padded(feature)
  arguments = map(_maps_first, (y, x, weights, cotangents))
  sums, by_points = _add_gradients(rows, feature.shape, jnp.zeros(rows.shape, cotangents.dtype), *arguments)
  return _unpadded(sums, feature.shape), *(_queries_first(g, len(feature)) for g in by_points)


def read_in_chunks(feature, y, x, weights) -> Float[Array, 'B Q G D']:
  """Computes `read` in chunks of queries, one after the other."""
  rows = _padded(feature)
  chunks = _chunks(feature.shape, y, x, weights)
  return _whole(lax.map(lambda chunk: _sum(rows, feature.shape, *chunk), chunks), y.shape)


def backward_in_chunks(feature, y, x, weights, cotangents) -> tuple[Array, Array, Array, Array]:
  """Computes `backward` in chunks of queries, one after the other."""
  rows = _padded(feature)

  def step(sums, chunk):
    return _add_gradients(rows, feature.shape, sums, *chunk)

  chunks = _chunks(feature.shape, y, x, weights, cotangents)
  sums, by_points = lax.scan(step, jnp.zeros(rows.shape, cotangents.dtype), chunks)
  return _unpadded(sums, feature.shape), *(_whole(g, y.shape) for g in by_points)


def _sum(rows, shape, y, x, weights) -> Float[Array, 'M Q D']:
  cells, bilinear, _ = _neighbours(shape, y, x)

  # Point by point: XLA gathers, weights and sums in one pass, and writes no gathered row to memory.
  def sample(p):
    return sum(_rows(rows, cells[:, :, p, k]) * bilinear[:, :, p, k, None] for k in range(4))

  return sum(sample(p) * weights[:, :, p, None] for p in range(y.shape[2]))


def _add_gradients(rows, shape, sums, y, x, weights, cotangents):
  """Returns `sums` plus the gradients of the map's cells, and the gradients of y, x and weights."""
  cells, bilinear, (left, right, top, lower) = _neighbours(shape, y, x)
  cotangents = cotangents[:, :, None, None]
  by_bilinear = (_rows(rows, cells) * cotangents).sum(-1)
  c00, c01, c10, c11 = jnp.moveaxis(by_bilinear, -1, 0)
  by_y = weights * (left * (c10 - c00) + right * (c11 - c01))
  by_x = weights * (top * (c01 - c00) + lower * (c11 - c10))
  sums = sums.at[cells].add((bilinear * weights[..., None])[..., None] * cotangents, mode='promise_in_bounds')
  return sums, (by_y, by_x, (by_bilinear * bilinear).sum(-1))


def _padded(feature: Float[Array, 'B H W G D']) -> Float[Array, 'M*R D']:
  """Cells of M = B * G maps with a border of zeros, R cells per map."""
  padded = jnp.pad(feature, ((0, 0), (1, 1), (1, 1), (0, 0), (0, 0)))
  return padded.transpose(0, 3, 1, 2, 4).reshape(-1, feature.shape[4])


def _unpadded(rows: Float[Array, 'M*R D'], shape: tuple[int, ...]) -> Float[Array, 'B H W G D']:
  batch, height, width, groups, depth = shape
  maps = rows.reshape(batch, groups, height + 2, width + 2, depth)
  return maps[:, :, 1:-1, 1:-1].transpose(0, 2, 3, 1, 4)


def _neighbours(
  shape: tuple[int, ...], y: Float[Array, 'M Q P'], x: Float[Array, 'M Q P']
) -> tuple[Int[Array, 'M Q P 4'], Float[Array, 'M Q P 4'], tuple[Float[Array, 'M Q P'], ...]]:
  """Rows of a point's four neighbours, their bilinear weights, and the linear weights (left, right, top, bottom)."""
  height, width = shape[1] + 2, shape[2] + 2  # with the border
  first_y, first_x = jnp.floor(y), jnp.floor(x)
  # A point at -2 reads row 0: its only neighbour with a bilinear weight lies in the border of zeros.
  first = jnp.maximum((first_y.astype(jnp.int32) + 1) * width + first_x.astype(jnp.int32) + 1, 0)
  first += (jnp.arange(len(y), dtype=jnp.int32) * (height * width))[:, None, None]
  right, lower = x - first_x, y - first_y
  left, top = 1 - right, 1 - lower
  bilinear = jnp.stack([top * left, top * right, lower * left, lower * right], -1)
  return first[..., None] + jnp.array([0, 1, width, width + 1]), bilinear, (left, right, top, lower)


def _rows(rows: Float[Array, 'M*R D'], cells: Int[Array, '*N']) -> Float[Array, '*N D']:
  return rows.at[cells].get(mode='promise_in_bounds')


def _maps_first(x: Float[Array, 'B Q G N']) -> Float[Array, 'M Q N']:
  return x.swapaxes(1, 2).reshape(-1, x.shape[1], x.shape[3])


def _queries_first(x: Float[Array, 'M Q N'], batch: int) -> Float[Array, 'B Q G N']:
  return x.reshape(batch, -1, *x.shape[1:]).swapaxes(1, 2)


def _chunks(shape: tuple[int, ...], *values: Float[Array, 'B Q G N']) -> tuple[Float[Array, 'K M T N'], ...]:
  """Splits queries into K chunks of T; padding queries are at -2 and have weight 0."""
  batch, _, _, groups, depth = shape
  queries, points = values[0].shape[1], values[0].shape[3]
  size = min(queries, max(1, CHUNK // (batch * groups * points * 4 * depth)))

  def chunked(values, fill):
    values = jnp.pad(_maps_first(values), ((0, 0), (0, -queries % size), (0, 0)), constant_values=fill)
    return values.reshape(len(values), -1, size, values.shape[2]).swapaxes(0, 1)

  return tuple(map(chunked, values, (-2, -2, 0, 0)))


def _whole(chunks: Float[Array, 'K M T N'], shape: tuple[int, ...]) -> Float[Array, 'B Q G N']:
  batch, queries = shape[:2]
  values = chunks.swapaxes(0, 1).reshape(chunks.shape[1], -1, chunks.shape[3])
  return _queries_first(values[:, :queries], batch)
