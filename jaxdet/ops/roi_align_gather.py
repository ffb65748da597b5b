"""RoIAlign by gathering the cells of every bin, and by scattering their gradients: the form for a GPU.

A bin has weights on a few rows and columns of its map. RoIs of all images and levels are sorted by that number and
taken in chunks. A chunk goes over its bins' cells in tiles of a few rows and columns, as many tiles as its largest RoI
needs; one loop runs over the tiles of all chunks. The last bits of scattered sums depend on the order in which a GPU
adds.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxdet.ops.roi_weights import Sampling, bin_rows, bin_weights

CHUNK_BINS = 2**15  # enough to fill a GPU, few enough that the RoIs of a chunk are alike in size
TILE = (4, 4)  # rows and columns: most bins of a pyramid's RoIs have three to six of each


def pool(
  features: tuple[Float[Array, 'B _ _ C'], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
) -> Float[Array, 'B R p q C']:
  """Pools RoI r of image b from `features[levels[b, r]]`; sums are float32, or float64 for float64."""
  plan = _plan(tuple(f.shape for f in features), strides, rois, levels, sampling)
  cells = jnp.concatenate([f.reshape(-1, f.shape[-1]) for f in features])
  wide = jnp.promote_types(cells.dtype, jnp.float32)

  def step(k, pooled):
    first, index, bilinear = plan.tile(k, sampling)
    part = lax.dynamic_slice_in_dim(pooled, first, plan.size)
    for i in range(bilinear.shape[-1]):
      gathered = cells.at[index[..., i]].get(mode='promise_in_bounds')
      part += gathered.astype(wide) * bilinear[..., i, None]
    return lax.dynamic_update_slice_in_dim(pooled, part, first, 0)

  start = jnp.zeros((len(plan.order), *sampling.bins, cells.shape[-1]), wide)
  pooled = lax.fori_loop(0, plan.ends[-1], step, start).astype(cells.dtype)
  return pooled[jnp.argsort(plan.order)[: rois.shape[0] * rois.shape[1]]].reshape(*rois.shape[:2], *pooled.shape[1:])


def backward(
  cotangents: Float[Array, 'B R p q C'],
  shapes: tuple[tuple[int, int, int, int], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
) -> tuple[Float[Array, 'B _ _ C'], ...]:
  """Transpose of `pool`: gradients of the features of these `shapes`, float32."""
  plan = _plan(shapes, strides, rois, levels, sampling)
  cotangents = cotangents.reshape(-1, *cotangents.shape[2:])
  # Padding places of the order have an index beyond the last RoI, and get zeros.
  cotangents = cotangents.at[plan.order].get(mode='fill', fill_value=0)
  counts = [batch * height * width for batch, height, width, _ in shapes]

  def step(k, total):
    first, index, bilinear = plan.tile(k, sampling)
    part = lax.dynamic_slice_in_dim(cotangents, first, plan.size).astype(jnp.float32)
    index = jnp.where(bilinear == 0, len(total), index)  # dropped, which saves most of a tile's sums
    return total.at[index].add(bilinear[..., None] * part[..., None, :], mode='drop')

  total = lax.fori_loop(0, plan.ends[-1], step, jnp.zeros((sum(counts), shapes[0][-1]), jnp.float32))
  parts = jnp.split(total, [sum(counts[:l]) for l in range(1, len(shapes))])
  return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))


class _Plan(NamedTuple):
  """The RoIs of all images in one row of N places, sorted by the tiles that they need, in K chunks."""

  size: int  # RoIs of a chunk
  order: Int[Array, 'N']  # indices of RoIs; padding has indices beyond the last RoI
  start: Float[Array, 'N 2']  # (y, x) of each RoI on its level, in cells
  extent: Float[Array, 'N 2']
  last: Float[Array, 'N 2']  # row and column of its level
  map: Int[Array, 'N']  # the first cell of its image and level
  across: Int[Array, 'K']  # tiles of a chunk along x
  ends: Int[Array, 'K']  # cumulative number of tiles, this chunk's included

  def tile(self, k, sampling: Sampling) -> tuple[Int[Array, ''], Int[Array, 'T p q t'], Float[Array, 'T p q t']]:
    """(first place of the chunk, cells of every bin, their weights) of the k-th tile; a tile has t cells."""
    chunk = (self.ends <= k).sum()
    before = jnp.where(chunk == 0, 0, self.ends[chunk - 1])
    first = chunk * self.size
    corner = jnp.divmod(k - before, self.across[chunk])
    start, extent, last, base = (
      lax.dynamic_slice_in_dim(x, first, self.size) for x in (self.start, self.extent, self.last, self.map)
    )
    places, weights = [], []
    for axis, (bins, count) in enumerate(zip(sampling.bins, TILE, strict=True)):
      place = start[:, axis], extent[:, axis], bins, sampling.ratio
      low, high = jnp.zeros_like(last[:, axis]), last[:, axis]
      rows = bin_rows(*place, low, high)[0] + corner[axis] * count
      rows = rows[..., None] + jnp.arange(count)
      weights.append(bin_weights(*place, rows, low, high))  # zeros beyond the map
      places.append(jnp.minimum(rows, high[:, None, None]).astype(jnp.int32))
    (y, x), (wy, wx) = places, weights
    width = last[:, 1].astype(jnp.int32) + 1
    rows = base[:, None, None] + y * width[:, None, None]
    index = rows[:, :, None, :, None] + x[:, None, :, None, :]
    bilinear = wy[:, :, None, :, None] * wx[:, None, :, None, :]
    # Kept in memory: fused into the gather, they would be computed again for every channel.
    index, bilinear = lax.optimization_barrier((index, bilinear))
    return first, index.reshape(*index.shape[:3], -1), bilinear.reshape(*bilinear.shape[:3], -1)


def _plan(shapes, strides, rois, levels, sampling: Sampling) -> _Plan:
  batch, count = levels.shape
  extents = jnp.array([shape[1:3] for shape in shapes], jnp.int32)
  areas = [height * width for _, height, width, _ in shapes]
  offsets = jnp.array([batch * sum(areas[:l]) for l in range(len(shapes))], jnp.int32)
  base = offsets[levels] + jnp.arange(batch, dtype=jnp.int32)[:, None] * jnp.array(areas, jnp.int32)[levels]

  rois, levels, base = rois.reshape(-1, 4), levels.reshape(-1), base.reshape(-1)
  last = extents[levels].astype(jnp.float32) - 1
  start, extent = sampling.in_pixels(rois, (1 / jnp.array(strides, jnp.float32))[levels, None])
  tiles = []  # down and across
  for axis, (bins, side) in enumerate(zip(sampling.bins, TILE, strict=True)):
    high = last[:, axis]
    from_row, to_row = bin_rows(start[:, axis], extent[:, axis], bins, sampling.ratio, jnp.zeros_like(high), high)
    needed = (to_row - from_row).max(-1).astype(jnp.int32) + 1
    tiles.append(-(-needed // side))

  chunks = -(-batch * count // max(1, CHUNK_BINS // (sampling.bins[0] * sampling.bins[1])))
  size = -(-batch * count // chunks)
  down, across = tiles
  order = jnp.lexsort((down, across)).astype(jnp.int32)
  padding = chunks * size - batch * count

  def sorted_and_padded(x):
    return jnp.pad(x[order], [(0, padding)] + [(0, 0)] * (x.ndim - 1))

  start, extent, last, base, down, across = map(sorted_and_padded, (start, extent, last, base, down, across))
  down, across = (x.reshape(chunks, size).max(-1) for x in (down, across))
  order = jnp.concatenate([order, jnp.arange(batch * count, chunks * size, dtype=jnp.int32)])
  return _Plan(size, order, start, extent, last, base, across, jnp.cumsum(down * across))
