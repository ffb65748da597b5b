"""RoIAlign as two matrix products over whole feature maps: no gather, and no scatter in the backward pass.

The form for TPUs. The RoIs of an image are sorted by level and taken in chunks of one level. A chunk is multiplied by
the map of its own image and level alone. The longer axis of a map is reduced first, which makes the array between the
two products smaller; docs/tpu.md has the TPU compiler's estimate for the alternative.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxdet.ops.roi_weights import Sampling, grid_weights

CHUNK_BINS = 448  # rows of bins in a product, as 64 RoIs of 7 x 7 or 32 of 14 x 14: enough to fill matrix units


def pool(
  features: tuple[Float[Array, 'B _ _ C'], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
) -> Float[Array, 'B R p q C']:
  """Pools RoI r of image b from `features[levels[b, r]]`.

  Weights and the array between the two products are rounded to the type of the features; sums are float32.
  """
  dtype, channels = features[0].dtype, features[0].shape[-1]
  plan = _plan(tuple(f.shape[1:3] for f in features), strides, rois, levels, sampling, dtype)
  pooled = jnp.zeros((*plan.wy.shape[:2], *sampling.bins, channels), dtype)
  for level, feature in enumerate(features):

    def step(k, pooled, level=level, feature=feature):
      extent = feature.shape[1:3]
      image, first, wy, wx = plan.chunk(level, k, extent)
      bins = to_bins(feature[image], wy, wx, rows_first(*extent))
      # Rows beyond the level's last RoI are zeros; later levels overwrite them.
      return lax.dynamic_update_slice(pooled, bins[None], (image, first, 0, 0, 0))

    pooled = lax.fori_loop(0, plan.chunks[level].sum(), step, pooled)
  place = jnp.argsort(plan.order, axis=-1)
  return jnp.take_along_axis(pooled, place[..., None, None, None], axis=1)


def backward(
  cotangents: Float[Array, 'B R p q C'],
  shapes: tuple[tuple[int, int, int, int], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
) -> tuple[Float[Array, 'B _ _ C'], ...]:
  """Transpose of `pool`: gradients of the features of these `shapes`, float32."""
  plan = _plan(tuple(shape[1:3] for shape in shapes), strides, rois, levels, sampling, cotangents.dtype)
  cotangents = jnp.take_along_axis(cotangents, plan.order[..., None, None, None], axis=1)
  cotangents = jnp.pad(cotangents, ((0, 0), (0, plan.size), (0, 0), (0, 0), (0, 0)))
  gradients = []
  for level, shape in enumerate(shapes):

    def step(k, gradient, level=level, extent=shape[1:3]):
      image, first, wy, wx = plan.chunk(level, k, extent)
      bins = lax.dynamic_slice(cotangents, (image, first, 0, 0, 0), (1, plan.size, *cotangents.shape[2:]))[0]
      change = from_bins(bins, wy, wx, rows_first(*extent))[None]
      corner = (image, 0, 0, 0)
      return lax.dynamic_update_slice(gradient, change + lax.dynamic_slice(gradient, corner, change.shape), corner)

    gradients.append(lax.fori_loop(0, plan.chunks[level].sum(), step, jnp.zeros(shape, jnp.float32)))
  return tuple(gradients)


class _Plan(NamedTuple):
  """The RoIs of each image by level, padded by the size of a chunk."""

  size: int  # RoIs of a chunk
  order: Int[Array, 'B R']  # RoIs, sorted by level
  wy: Float[Array, 'B R+size p S']  # weights so sorted, each for the map of its level; S is the longest side of a map
  wx: Float[Array, 'B R+size q S']
  begins: Int[Array, 'L B']  # the first RoI of a level and image
  ends: Int[Array, 'L B']
  chunks: Int[Array, 'L B']  # their number

  def chunk(self, level, k, extent):
    """(image, first RoI, row weights, column weights) of the k-th chunk of a level; zeros for RoIs of other levels."""
    ends = jnp.cumsum(self.chunks[level])
    image = (ends <= k).sum()
    first = self.begins[level, image] + (k - ends[image] + self.chunks[level, image]) * self.size
    wy, wx = (
      lax.dynamic_slice(weights, (image, first, 0, 0), (1, self.size, weights.shape[2], side))[0]
      for weights, side in zip((self.wy, self.wx), extent, strict=True)
    )
    own = first + jnp.arange(self.size) < self.ends[level, image]
    return image, first, jnp.where(own[:, None, None], wy, 0.0), wx


def _plan(extents: tuple[tuple[int, int], ...], strides, rois, levels, sampling: Sampling, dtype) -> _Plan:
  size = min(max(1, CHUNK_BINS // max(sampling.bins)), rois.shape[1])
  order = jnp.argsort(levels, axis=-1)
  counts = (levels == jnp.arange(len(extents))[:, None, None]).sum(-1)
  ends = jnp.cumsum(counts, axis=0)

  rois, levels = jnp.take_along_axis(rois, order[..., None], axis=1), jnp.take_along_axis(levels, order, axis=1)
  last = jnp.array(extents, jnp.float32)[levels] - 1
  start, span = sampling.in_pixels(rois, (1 / jnp.array(strides, jnp.float32))[levels][..., None])
  first, side = jnp.zeros_like(last), max(max(extent) for extent in extents)
  weights = grid_weights(start, span, sampling, first, (side, side), first, last)
  wy, wx = (jnp.pad(w, ((0, 0), (0, size), (0, 0), (0, 0))).astype(dtype) for w in weights)
  return _Plan(size, order, wy, wx, ends - counts, ends, -(-counts // size))


def rows_first(height: int, width: int) -> bool:
  """True if the rows of a map are reduced before its columns."""
  return height > width


def to_bins(
  feature: Float[Array, 'H W C'], wy: Float[Array, 'T p H'], wx: Float[Array, 'T q W'], by_rows: bool
) -> Float[Array, 'T p q C']:
  """Pools a chunk of RoIs from one map."""
  if by_rows:
    return _sums('tqw,tpwc->tpqc', wx, _sums('tph,hwc->tpwc', wy, feature))
  return _sums('tph,htqc->tpqc', wy, _sums('tqw,hwc->htqc', wx, feature))


def from_bins(
  bins: Float[Array, 'T p q C'], wy: Float[Array, 'T p H'], wx: Float[Array, 'T q W'], by_rows: bool
) -> Float[Array, 'H W C']:
  """Transpose of `to_bins`, float32; with the same `by_rows` the array between its products has the same size."""
  if by_rows:
    return _sums('tph,tpwc->hwc', wy, _sums('tqw,tpqc->tpwc', wx, bins), jnp.float32)
  return _sums('tqw,htqc->hwc', wx, _sums('tph,tpqc->htqc', wy, bins), jnp.float32)


def _sums(formula: str, weights, values, dtype=None):
  """Computes the product in the type of `values`, summed in float32."""
  sums = jnp.einsum(formula, weights, values, preferred_element_type=jnp.float32)
  return sums.astype(dtype or values.dtype)
