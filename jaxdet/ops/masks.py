"""Ground-truth masks on the device: from packed bits of a crop to the targets of a mask head."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from jaxdet.ops.roi_weights import Sampling, grid_weights


def unpack_masks(mask_bits: UInt8[Array, '*N M M/8']) -> Float[Array, '*N M M']:
  """Bits packed along the row, most significant first (`numpy.packbits`), as 0.0 and 1.0."""
  return jnp.unpackbits(jnp.asarray(mask_bits), axis=-1).astype(jnp.float32)


def crop_masks(
  masks: Float[Array, 'N M M'],
  windows: Float[Array, 'N 4'],
  boxes: Float[Array, 'N 4'],
  image_size: Int[Array, '2'] | tuple[int, int],
  size: int,
) -> Float[Array, 'N S S']:
  """Mask targets: RoIAlign of each object's bitmap over a box, 1.0 where it is at least 0.5, else 0.0.

  Where a window's cells are pixels this is what Detectron2's BitMasks and mmdetection do with the bitmap of
  the whole image. Where they are larger, box and image are taken to cell coordinates and the same operator
  works there, with about one sample a cell.

  Args:
    masks: crops of M x M cells, zero outside.
    windows: what each crop covers, xyxy in canvas pixels.
    boxes: what the targets are to cover, xyxy in canvas pixels.
    image_size: (height, width) in canvas pixels; samples beyond the bitmap's outer pixels are moved onto them.
    size: S.
  """
  cells = masks.shape[-1]
  corner, extent = windows[:, :2], windows[:, 2:] - windows[:, :2]
  scale = cells / jnp.maximum(extent, 1.0)  # cells a pixel, (x, y)
  in_cells = jnp.concatenate([(boxes[:, :2] - corner) * scale, (boxes[:, 2:] - corner) * scale], -1)
  sampling = Sampling((size, size))
  start, box_size = sampling.in_pixels(in_cells, 1.0)
  low = (-corner * scale)[:, ::-1]
  height_width = jnp.asarray(image_size, jnp.float32)
  high = low + height_width * scale[:, ::-1] - 1
  rows, columns = grid_weights(start, box_size, sampling, jnp.zeros_like(start), (cells, cells), low, high)
  shares = jnp.einsum('nph,nhw,nqw->npq', rows, masks, columns, precision='highest')
  return (shares >= 0.5).astype(jnp.float32)
