"""Bilinear reads as products of weight matrices and cells: no gather, and no scatter in the backward pass.

The form for TPUs. Queries are taken in chunks, the map in blocks of rows. A point's bilinear weight of a cell is the
product of two linear kernels, max(0, 1 - |distance|), along rows and columns. Only the blocks between a chunk's first
and last point are visited: few if neighbouring queries read near one another, all if the points are scattered.
docs/tpu.md has the TPU compiler's estimates.
"""

import functools
import operator
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

SLOTS = 4096  # queries times groups per chunk
CELLS = 1344  # cells per block, about
LANES, SUBLANES = 128, 8  # of a TPU's memory tile


def read(feature, y, x, weights) -> Float[Array, 'B Q G D']:
  """Computes `bilinear_reads`; points outside are at -2. Bilinear weights are rounded to the type of the map."""
  return lax.map(lambda image: _read(*image), (feature, y, x, weights))


def backward(feature, y, x, weights, cotangents) -> tuple[Array, Array, Array, Array]:
  """Gradients of all arguments of `read`, in the type of sums; cotangents are rounded to the type of the map."""
  return lax.map(lambda image: _backward(*image), (feature, y, x, weights, cotangents))


def _read(feature, y, x, weights):
  blocks, depth = _Blocks.of(feature), feature.shape[-1]

  def chunk(points):
    y, x, weights = points
    columns = [
      weight[:, None] * kernel for weight, kernel in zip(weights, _linear_kernel(x, 0, feature.shape[1]), strict=True)
    ]

    def step(k, total):
      bilinear = _bilinear(blocks.linear_kernel(y, k), columns, feature.dtype)
      return total + jnp.einsum('grct,grcd->dgt', bilinear, blocks.cells(k), preferred_element_type=total.dtype)

    return lax.fori_loop(*blocks.between(y), step, jnp.zeros((depth, *y.shape[1:]), y.dtype))

  return _unchunked(lax.map(chunk, tuple(map(_chunked, (y, x, weights)))), len(y))


def _backward(feature, y, x, weights, cotangents):
  blocks, width = _Blocks.of(feature), feature.shape[1]

  def chunk(gradient, points):
    y, x, weights, cotangents = points
    cotangents = cotangents.astype(feature.dtype)
    linear_kernel, slopes = _linear_kernel(x, 0, width), _slopes(x, 0, width)
    columns = [weight[:, None] * kernel for weight, kernel in zip(weights, linear_kernel, strict=True)]

    def step(k, sums):
      gradient, by_y, by_x, by_weight = sums
      rows = blocks.linear_kernel(y, k)
      by_bilinear = jnp.einsum('grcd,dgt->grct', blocks.cells(k), cotangents, preferred_element_type=y.dtype)
      along = [(by_bilinear * kernel[:, None]).sum(2) for kernel in linear_kernel]  # [G, rows, T]
      across = [(by_bilinear * slope[:, None]).sum(2) for slope in slopes]
      by_y += _over_rows(along, blocks.slopes(y, k))
      by_x += _over_rows(across, rows)
      by_weight += _over_rows(along, rows)
      bilinear = _bilinear(rows, columns, feature.dtype)
      change = jnp.einsum('grct,dgt->grcd', bilinear, cotangents, preferred_element_type=y.dtype)
      return blocks.add(gradient, change, k), by_y, by_x, by_weight

    zeros = jnp.zeros_like(y)
    gradient, by_y, by_x, by_weight = lax.fori_loop(*blocks.between(y), step, (gradient, zeros, zeros, zeros))
    return gradient, (by_y * weights, by_x * weights, by_weight)

  empty = jnp.zeros(blocks.map.shape, y.dtype)
  gradient, by_points = lax.scan(chunk, empty, tuple(map(_chunked, (y, x, weights, cotangents))))
  gradient = gradient.transpose(1, 2, 0, 3)[: len(feature)]
  return gradient, *(_unchunked(g, len(y)) for g in by_points)


class _Blocks(NamedTuple):
  """A map in blocks of rows; the last block may reach beyond the map."""

  map: Float[Array, 'G R W D']
  rows: int  # of a block
  height: int  # of the map

  @classmethod
  def of(cls, feature: Float[Array, 'H W G D']) -> '_Blocks':
    height, width = feature.shape[:2]
    rows = min(height, max(CELLS // width // SUBLANES, 1) * SUBLANES)
    padded = jnp.pad(feature, ((0, -height % rows), (0, 0), (0, 0), (0, 0)))
    return cls(padded.transpose(2, 0, 1, 3), rows, height)

  def between(self, y: Float[Array, 'P G T']) -> tuple[Int[Array, ''], Int[Array, '']]:
    """Range of blocks that a chunk reads: (first, last + 1)."""
    first = jnp.where(y > -1, y, self.height).min()
    first, last = jnp.maximum(jnp.floor(first), 0), jnp.minimum(jnp.floor(y.max()) + 1, self.height - 1)
    first, last = (cell.astype(jnp.int32) // self.rows for cell in (first, last))
    return first, last + 1

  def cells(self, k) -> Float[Array, 'G rows W D']:
    return lax.dynamic_slice_in_dim(self.map, k * self.rows, self.rows, 1)

  def add(self, gradient: Float[Array, 'G R W D'], change: Float[Array, 'G rows W D'], k) -> Float[Array, 'G R W D']:
    before = lax.dynamic_slice_in_dim(gradient, k * self.rows, self.rows, 1)
    return lax.dynamic_update_slice_in_dim(gradient, before + change, k * self.rows, 1)

  def linear_kernel(self, y: Float[Array, 'P G T'], k) -> list[Float[Array, 'G rows T']]:
    return _linear_kernel(y, k * self.rows, self.rows)

  def slopes(self, y: Float[Array, 'P G T'], k) -> list[Float[Array, 'G rows T']]:
    return _slopes(y, k * self.rows, self.rows)


def _linear_kernel(places: Float[Array, 'P G T'], first, count: int) -> list[Float[Array, 'G count T']]:
  """Linear weights of `count` cells along an axis, for each point."""
  return [jnp.maximum(0, 1 - jnp.abs(place[:, None] - _cells(first, count, place.dtype))) for place in places]


def _slopes(places: Float[Array, 'P G T'], first, count: int) -> list[Float[Array, 'G count T']]:
  """Derivatives of `_linear_kernel` by the point's position; at a cell's centre the one from above."""
  cells = _cells(first, count, places.dtype)
  before = [jnp.floor(place)[:, None] for place in places]
  return [(cells == b + 1).astype(cells.dtype) - (cells == b).astype(cells.dtype) for b in before]


def _cells(first, count: int, dtype) -> Float[Array, 'count 1']:
  return (first + jnp.arange(count)).astype(dtype)[:, None]


def _bilinear(
  rows: list[Float[Array, 'G R T']], columns: list[Float[Array, 'G W T']], dtype
) -> Float[Array, 'G R W T']:
  # Point by point: the TPU compiler fuses these into the product, but turns a sum along an axis into a slow loop.
  points = [row[:, :, None] * column[:, None] for row, column in zip(rows, columns, strict=True)]
  return functools.reduce(operator.add, points).astype(dtype)


def _over_rows(sums: list[Float[Array, 'G R T']], rows: list[Float[Array, 'G R T']]) -> Float[Array, 'P G T']:
  return jnp.stack([(a * row).sum(1) for a, row in zip(sums, rows, strict=True)])


def _chunked(values: Float[Array, 'Q G N']) -> Float[Array, 'K N G T']:
  """Splits queries into K chunks of T; points of padding queries are at -2 and have weight 0."""
  queries, groups, _ = values.shape
  size = max(LANES, SLOTS // groups // LANES * LANES)
  values = jnp.pad(values, ((0, -queries % size), (0, 0), (0, 0)), constant_values=-2)
  return values.reshape(-1, size, *values.shape[1:]).transpose(0, 3, 2, 1)


def _unchunked(values: Float[Array, 'K N G T'], queries: int) -> Float[Array, 'Q G N']:
  values = values.transpose(0, 3, 2, 1)
  return values.reshape(-1, *values.shape[2:])[:queries]
