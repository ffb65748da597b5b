"""Mask targets: the ground-truth bitmap of an object resampled over a proposal.

An object's bitmap is known as M x M cells over a window (see `Batch`), zero outside. Its RoIAlign is two products
with the weights of `roi_weights`; where a cell is one pixel the targets are those of mmdetection's BitmapMasks and
Detectron2's BitMasks.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, UInt8

from jaxdet.ops.roi_weights import Sampling, grid_weights


def unpack_masks(mask_bits: UInt8[Array, '*N M M/8']) -> Float[Array, '*N M M']:
  """Bits along the row, most significant first (`numpy.packbits`), as float32 zeros and ones."""
  bits = (mask_bits[..., None] >> jnp.arange(7, -1, -1, dtype=jnp.uint8)) & 1
  return bits.reshape(*mask_bits.shape[:-1], -1).astype(jnp.float32)


def crop_masks(
  masks: Float[Array, 'N M M'],
  windows: Float[Array, 'N 4'],
  boxes: Float[Array, 'N 4'],
  image_size: Int[Array, '2'] | tuple[int, int],
  size: int,
) -> Float[Array, 'N S S']:
  """The object's mask over its box, 0 or 1: aligned RoIAlign of the bitmap, then >= 0.5.

  Mask, window and box of row n belong together; gather objects by their proposals first. Where cells are larger than
  a pixel, samples interpolate between cell centres and there are as many of them as a bin has cells, rounded up:
  an approximation of the full-resolution bitmap, good to about a cell at the outline.

  Args:
    masks: cells of the bitmap, 0 or 1.
    windows: xyxy in pixels, what the cells cover. A row of zeros gives zeros.
    boxes: xyxy in pixels, the proposals.
    image_size: (height, width) in pixels of the bitmap that upstream crops from, at whose border samples are
      clamped: the image's for Detectron2, the canvas's for mmdetection, which pads its bitmaps.
    size: S, bins a side.
  """
  num_cells = masks.shape[-1]
  origin = windows[:, 1::-1]  # (y, x)
  extent = windows[:, :1:-1] - origin
  cells_per_pixel = jnp.where(extent > 0, num_cells / jnp.where(extent > 0, extent, 1.0), 0.0)
  origin_xyxy = jnp.concatenate([windows[:, :2], windows[:, :2]], axis=-1)
  scale_xyxy = jnp.concatenate([cells_per_pixel[:, ::-1], cells_per_pixel[:, ::-1]], axis=-1)

  sampling = Sampling((size, size))
  start, extent_in_cells = sampling.in_pixels((boxes - origin_xyxy) * scale_xyxy, 1.0)
  # The image's first and last row and column, in cells.
  low = -origin * cells_per_pixel
  high = (jnp.asarray(image_size, jnp.float32) - origin) * cells_per_pixel - 1
  corner = jnp.zeros_like(start)
  wy, wx = grid_weights(start, extent_in_cells, sampling, corner, (num_cells, num_cells), low, high)
  # Targets are cut at one half: products of zeros and ones must not round there.
  rows = jnp.einsum('nph,nhw->npw', wy, masks, precision=lax.Precision.HIGHEST)
  means = jnp.einsum('nqw,npw->npq', wx, rows, precision=lax.Precision.HIGHEST)
  return jax.lax.stop_gradient((means >= 0.5).astype(jnp.float32))
