"""RoIAlign as two matrix products over whole feature maps: no gather, and no scatter in the backward pass.

Every level is multiplied for every RoI, with zero weights but on the RoI's own level. RoIs are taken in chunks, so
that the product with the row weights, [RoIs, bins, W, C], stays small. The images of a batch are a batch
dimension of the products throughout: sharded over it, nothing travels between devices.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxdet.ops.roi_weights import Sampling, grid_weights

CHUNK = 64  # RoIs of an image in one product


def pool(
  features: tuple[Float[Array, 'B _ _ C'], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
) -> Float[Array, 'B R p q C']:
  """Pools RoI r of image b from `features[levels[b, r]]`; float32."""
  features = tuple(f.astype(jnp.float32) for f in features)
  batch, num_rois, _ = rois.shape
  chunk = min(CHUNK, num_rois)
  padding = -num_rois % chunk
  rois = jnp.pad(rois, ((0, 0), (0, padding), (0, 0)))
  levels = jnp.pad(levels, ((0, 0), (0, padding)))

  def to_chunks(x):
    return jnp.moveaxis(x.reshape(batch, -1, chunk, *x.shape[2:]), 1, 0)

  def pool_chunk(rois_and_levels):
    rois, levels = rois_and_levels
    total = 0.0
    for index, (feature, stride) in enumerate(zip(features, strides, strict=True)):
      wy, wx = _weights(rois, levels == index, feature.shape[1:3], stride, sampling)
      rows = jnp.einsum('btph,bhwc->btpwc', wy, feature)
      total += jnp.einsum('btqw,btpwc->btpqc', wx, rows)
    return total

  pooled = lax.map(pool_chunk, (to_chunks(rois), to_chunks(levels)))
  return jnp.moveaxis(pooled, 0, 1).reshape(batch, num_rois + padding, *pooled.shape[3:])[:, :num_rois]


def spread(
  cotangents: Float[Array, 'B R p q C'],
  shapes: tuple[tuple[int, int, int, int], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
) -> tuple[Float[Array, 'B _ _ C'], ...]:
  """The transpose of `pool`: gradients of the features of these `shapes`, float32."""
  features = tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
  (gradients,) = jax.linear_transpose(lambda f: pool(f, strides, rois, levels, sampling), features)(cotangents)
  return gradients


def _weights(rois, on_level, extent, stride, sampling):
  start, size = sampling.in_pixels(rois, 1 / stride)
  low = jnp.zeros_like(start)
  high = low + jnp.array(extent, jnp.float32) - 1
  weights = grid_weights(start, size, sampling, low, extent, low, high)
  return tuple(jnp.where(on_level[..., None, None], w, 0.0) for w in weights)
