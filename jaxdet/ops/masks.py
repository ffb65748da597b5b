"""Mask targets: the ground-truth bitmap of an object resampled over a proposal, or over the canvas.

An object's bitmap is M x M cells over a window (see `Batch`), zero outside. Its RoIAlign is two matrix products with
the weights of `roi_weights`. If a cell is one pixel, the targets equal those of mmdetection's BitmapMasks and
Detectron2's BitMasks.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, UInt8

from jaxdet.ops.roi_weights import Sampling, grid_weights


def unpack_masks(mask_bits: UInt8[Array, '*N M M/8']) -> Float[Array, '*N M M']:
  """Unpacks bits along the row, most significant first (`numpy.packbits`), to float32 zeros and ones."""
  bits = (mask_bits[..., None] >> jnp.arange(7, -1, -1, dtype=jnp.uint8)) & 1
  return bits.reshape(*mask_bits.shape[:-1], -1).astype(jnp.float32)


def crop_masks(
  masks: Float[Array, 'N M M'],
  windows: Float[Array, 'N 4'],
  boxes: Float[Array, 'N 4'],
  image_size: Int[Array, '2'] | tuple[int, int],
  size: int,
) -> Float[Array, 'N S S']:
  """Crops each mask to its box, 0 or 1: aligned RoIAlign of the bitmap, then >= 0.5.

  Mask, window and box of row n belong together; gather objects by their proposals first. If cells are larger than a
  pixel, samples interpolate between cell centres, and a bin has as many samples as cells, rounded up: this approximates
  the full-resolution bitmap to about a cell at the outline.

  Args:
    masks: cells of the bitmap, 0 or 1.
    windows: xyxy in pixels, the area that the cells cover. A row of zeros gives zeros.
    boxes: xyxy in pixels, the proposals.
    image_size: (height, width) in pixels of the bitmap that upstream crops from; samples are clamped at its border:
      the image's size for Detectron2, the canvas's for mmdetection, which pads its bitmaps.
    size: S, bins a side.
  """
  means = _sampled(masks, windows, boxes, image_size, Sampling((size, size)))
  return jax.lax.stop_gradient((means >= 0.5).astype(jnp.float32))


def draw_masks(
  masks: Float[Array, 'N M M'], windows: Float[Array, 'N 4'], canvas: tuple[int, int], grid: tuple[int, int]
) -> Float[Array, 'N h w']:
  """Draws each mask on a grid over the whole canvas, 0 or 1: the bitmap at each cell's centre, then > 0.5.

  That is torch's `interpolate` of the bitmap, bilinear with align_corners=False, as in YOLACT.

  Args:
    masks, windows: as of `crop_masks`.
    canvas: (height, width) in pixels.
    grid: (h, w) in cells.
  """
  whole = jnp.broadcast_to(jnp.asarray([0, 0, canvas[1], canvas[0]], jnp.float32), windows.shape)
  values = _sampled(masks, windows, whole, canvas, Sampling(grid, ratio=1))
  return jax.lax.stop_gradient((values > 0.5).astype(jnp.float32))


def share_in_boxes(
  masks: Float[Array, 'N M M'], windows: Float[Array, 'N 4'], boxes: Float[Array, 'N 4']
) -> Float[Array, 'N']:
  """Share of each mask's area inside its box; 0 for an empty mask.

  As in mmdetection, a box covers whole pixels: its coordinates are truncated, and each side is at least one pixel.

  Args:
    masks, windows, boxes: as of `crop_masks`.
  """
  low = jnp.trunc(boxes[:, :2])
  high = jnp.maximum(jnp.trunc(boxes[:, 2:]), low + 1)
  size = (windows[:, 2:] - windows[:, :2]) / masks.shape[-1]  # (width, height) of a cell in pixels
  start = windows[:, None, :2] + size[:, None] * jnp.arange(masks.shape[-1])[:, None]  # [N, M, 2], of columns and rows
  covered = jnp.minimum(start + size[:, None], high[:, None]) - jnp.maximum(start, low[:, None])
  share = jnp.clip(covered / jnp.where(size > 0, size, 1.0)[:, None], 0.0, 1.0)
  wx, wy = jnp.moveaxis(share, -1, 0)
  inside = jnp.einsum('nh,nhw,nw->n', wy, masks, wx, precision=lax.Precision.HIGHEST)
  return inside / jnp.maximum(masks.sum((-2, -1)), 1.0)


def _sampled(masks, windows, boxes, image_size, sampling: Sampling) -> Float[Array, 'N p q']:
  """RoIAlign of the bitmaps in their windows; arguments as of `crop_masks`."""
  num_cells = masks.shape[-1]
  origin = windows[:, 1::-1]  # (y, x)
  extent = windows[:, :1:-1] - origin
  cells_per_pixel = jnp.where(extent > 0, num_cells / jnp.where(extent > 0, extent, 1.0), 0.0)
  origin_xyxy = jnp.concatenate([windows[:, :2], windows[:, :2]], axis=-1)
  scale_xyxy = jnp.concatenate([cells_per_pixel[:, ::-1], cells_per_pixel[:, ::-1]], axis=-1)

  start, extent_in_cells = sampling.in_pixels((boxes - origin_xyxy) * scale_xyxy, 1.0)
  # The image's first and last row and column, in cells.
  low = -origin * cells_per_pixel
  high = (jnp.asarray(image_size, jnp.float32) - origin) * cells_per_pixel - 1
  corner = jnp.zeros_like(start)
  wy, wx = grid_weights(start, extent_in_cells, sampling, corner, (num_cells, num_cells), low, high)
  # Targets are thresholded at one half: products of zeros and ones must not round there.
  rows = jnp.einsum('nph,nhw->npw', wy, masks, precision=lax.Precision.HIGHEST)
  return jnp.einsum('nqw,npw->npq', wx, rows, precision=lax.Precision.HIGHEST)
