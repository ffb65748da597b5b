"""RoIAlign as two matrix products over whole feature maps: no gather, and no scatter in the backward pass.

The form for accelerators. The RoIs of an image are sorted by level and taken in chunks of one level, each multiplied
by the map of its own image and level alone; a loop over each level's chunks has as many rounds as there are. The longer
axis of a map is reduced first, which leaves less between the two products; docs/tpu.md has what the TPU compiler thinks
of the alternative.
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

  Weights, and what lies between the two products, are rounded to the type of the features; sums are float32.
  """
  plan = _plan(len(features), rois, levels, sampling)
  dtype, channels = features[0].dtype, features[0].shape[-1]
  pooled = jnp.zeros((*plan.rois.shape[:2], *sampling.bins, channels), dtype)
  for level, (feature, stride) in enumerate(zip(features, strides, strict=True)):

    def step(k, pooled, level=level, feature=feature, stride=stride):
      image, first = plan.chunk(level, k)
      wy, wx = plan.weights(level, image, first, feature.shape[1:3], stride, sampling)
      bins = to_bins(feature[image], wy.astype(dtype), wx.astype(dtype), rows_first(*feature.shape[1:3]))
      # Rows beyond the level's last are zeros where later levels write.
      return lax.dynamic_update_slice(pooled, bins[None], (image, first, 0, 0, 0))

    pooled = lax.fori_loop(0, plan.chunks[level].sum(), step, pooled)
  place = jnp.argsort(plan.order, axis=-1)
  return jnp.take_along_axis(pooled, place[..., None, None, None], axis=1)


def spread(
  cotangents: Float[Array, 'B R p q C'],
  shapes: tuple[tuple[int, int, int, int], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
) -> tuple[Float[Array, 'B _ _ C'], ...]:
  """The transpose of `pool`: gradients of the features of these `shapes`, float32."""
  plan = _plan(len(shapes), rois, levels, sampling)
  dtype = cotangents.dtype
  cotangents = jnp.take_along_axis(cotangents, plan.order[..., None, None, None], axis=1)
  cotangents = jnp.pad(cotangents, ((0, 0), (0, plan.size), (0, 0), (0, 0), (0, 0)))
  gradients = []
  for level, (shape, stride) in enumerate(zip(shapes, strides, strict=True)):

    def step(k, gradient, level=level, shape=shape, stride=stride):
      image, first = plan.chunk(level, k)
      wy, wx = plan.weights(level, image, first, shape[1:3], stride, sampling)
      bins = lax.dynamic_slice(cotangents, (image, first, 0, 0, 0), (1, plan.size, *cotangents.shape[2:]))[0]
      change = from_bins(bins, wy.astype(dtype), wx.astype(dtype), rows_first(*shape[1:3]))[None]
      corner = (image, 0, 0, 0)
      return lax.dynamic_update_slice(gradient, change + lax.dynamic_slice(gradient, corner, change.shape), corner)

    gradients.append(lax.fori_loop(0, plan.chunks[level].sum(), step, jnp.zeros(shape, jnp.float32)))
  return tuple(gradients)


class _Plan(NamedTuple):
  """The RoIs of each image by level, with a chunk's worth of padding behind the last."""

  size: int  # RoIs of a chunk
  order: Int[Array, 'B R']  # RoIs, sorted by level
  rois: Float[Array, 'B R+size 4']  # so sorted
  begins: Int[Array, 'L B']  # the first RoI of a level and image
  ends: Int[Array, 'L B']
  chunks: Int[Array, 'L B']  # their number

  def chunk(self, level, k):
    """(image, first RoI) of the k-th chunk of a level."""
    ends = jnp.cumsum(self.chunks[level])
    image = (ends <= k).sum()
    return image, self.begins[level, image] + (k - ends[image] + self.chunks[level, image]) * self.size

  def weights(self, level, image, first, extent, stride, sampling):
    """[RoIs, p, H] and [RoIs, q, W] of a chunk; zeros for RoIs that are not of this level."""
    rois = lax.dynamic_slice(self.rois, (image, first, 0), (1, self.size, 4))[0]
    start, size = sampling.in_pixels(rois, 1 / stride)
    low = jnp.zeros_like(start)
    high = low + jnp.array(extent, jnp.float32) - 1
    wy, wx = grid_weights(start, size, sampling, low, extent, low, high)
    own = first + jnp.arange(self.size) < self.ends[level, image]
    return jnp.where(own[:, None, None], wy, 0.0), wx


def _plan(num_levels: int, rois, levels, sampling: Sampling) -> _Plan:
  size = min(max(1, CHUNK_BINS // max(sampling.bins)), rois.shape[1])
  order = jnp.argsort(levels, axis=-1)
  rois = jnp.pad(jnp.take_along_axis(rois, order[..., None], axis=1), ((0, 0), (0, size), (0, 0)))
  counts = (levels == jnp.arange(num_levels)[:, None, None]).sum(-1)
  ends = jnp.cumsum(counts, axis=0)
  return _Plan(size, order, rois, ends - counts, ends, -(-counts // size))


def rows_first(height: int, width: int) -> bool:
  """Whether the rows of a map are reduced before its columns."""
  return height > width


def to_bins(
  feature: Float[Array, 'H W C'], wy: Float[Array, 'T p H'], wx: Float[Array, 'T q W'], by_rows: bool
) -> Float[Array, 'T p q C']:
  """The bins of a chunk of RoIs on one map."""
  if by_rows:
    return _sums('tqw,tpwc->tpqc', wx, _sums('tph,hwc->tpwc', wy, feature))
  return _sums('tph,htqc->tpqc', wy, _sums('tqw,hwc->htqc', wx, feature))


def from_bins(
  bins: Float[Array, 'T p q C'], wy: Float[Array, 'T p H'], wx: Float[Array, 'T q W'], by_rows: bool
) -> Float[Array, 'H W C']:
  """The transpose of `to_bins`, float32; with the same axis it has the same array between its products."""
  if by_rows:
    return _sums('tph,tpwc->hwc', wy, _sums('tqw,tpqc->tpwc', wx, bins), jnp.float32)
  return _sums('tqw,htqc->hwc', wx, _sums('tph,tpqc->htqc', wy, bins), jnp.float32)


def _sums(formula: str, weights, values, dtype=None):
  """The product in the type of `values`, summed in float32."""
  sums = jnp.einsum(formula, weights, values, preferred_element_type=jnp.float32)
  return sums.astype(dtype or values.dtype)
