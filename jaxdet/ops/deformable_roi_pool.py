"""Deformable RoI pooling on a pyramid (Dai et al., 2017): RoIAlign with an offset for each bin.

The operator is mmcv's. Moved bins do not lie on a grid, so RoIAlign's factorisation over the axes does not hold.
Samples are read in turns: the first of every bin, then the second, up to the largest number of samples in a bin. Only
the number of turns depends on the RoIs; shapes are static. The backward pass reads the samples again.
"""

from collections.abc import Mapping

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from jaxdet.ops.per_image import per_image
from jaxdet.ops.roi_levels import pyramid_levels, roi_levels
from jaxdet.ops.roi_weights import Sampling, samples_per_bin


@flax.struct.dataclass
class Bins:
  """Bins of R RoIs before the offsets, (y, x) in cells of the level that a RoI is pooled from."""

  start: Float[Array, 'R 2']  # of the RoI
  size: Float[Array, 'R 2']  # of the RoI
  samples: Int[Array, 'R 2']  # of a bin, along both axes
  shape: Int[Array, 'R 2']  # of the level
  first_cell: Int[Array, 'R']  # of the level, among the cells of all levels


def deformable_roi_pool(
  features: Mapping[int, Float[Array, 'B _ _ C']],
  rois: Float[Array, 'B R 4'],
  offsets: Float[Array, 'B R p q 2'],
  *,
  sampling_ratio: int = 0,
  canonical_size: float = 224,
  canonical_level: int = 4,
) -> Float[Array, 'B R p q C']:
  """Averages bilinear samples in each of p x q moved bins of every RoI, on the pyramid level that suits its size.

  With zero offsets it equals `roi_align.multilevel_roi_align`, aligned. RoIs get no gradient. A sample clamped to the
  border gives its offset no gradient, which follows from the definition; mmcv's backward pass differs here.

  Args:
    features: by level l, consecutive, of stride 2**l; any float type, also of the result. Sums are float32.
    rois: xyxy in image pixels, finite; the run time grows with the size of the largest.
    offsets: (y, x) of each bin, in heights and widths of its RoI.
    sampling_ratio: samples per bin and axis; 0: as many as the bin has feature pixels, rounded up, for each RoI.
    canonical_size, canonical_level: as in `roi_levels`.
  """
  levels = pyramid_levels(features)
  sampling = Sampling(offsets.shape[2:4], sampling_ratio)
  level_of_roi = roi_levels(
    rois,
    min_level=levels[0],
    max_level=levels[-1],
    canonical_size=canonical_size,
    canonical_level=canonical_level,
  )
  shapes = np.array([features[level].shape[1:3] for level in levels])
  first_cells = np.cumsum([0, *shapes.prod(axis=1)])[:-1]
  scales = np.array([2.0**-level for level in levels], np.float32)

  def one_image(rois, index, offsets, *maps):
    cells = jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in maps])
    start, size = sampling.in_pixels(rois, jnp.asarray(scales)[index][:, None])
    samples = [samples_per_bin(size[:, axis], sampling.bins[axis], sampling.ratio) for axis in range(2)]
    samples = jnp.stack(samples, axis=-1).astype(jnp.int32)
    bins = Bins(start, size, samples, jnp.asarray(shapes)[index], jnp.asarray(first_cells)[index])
    return _pool(cells, offsets, bins)

  maps = [jnp.asarray(features[level]) for level in levels]
  return per_image(one_image)(jnp.asarray(rois, jnp.float32), level_of_roi - levels[0], offsets, *maps)


@jax.custom_vjp
def _pool(cells: Float[Array, 'S C'], offsets: Float[Array, 'R p q 2'], bins: Bins) -> Float[Array, 'R p q C']:
  def add_samples(turn, total):
    neighbours, bilinear = _neighbours(offsets, bins, turn)
    # Neighbour by neighbour, in one pass: no gathered row is written to memory.
    return total + sum(cells[neighbours[..., k]] * bilinear[..., k, None] for k in range(4))

  total = jnp.zeros((*offsets.shape[:-1], cells.shape[-1]), jnp.promote_types(cells.dtype, jnp.float32))
  return lax.fori_loop(0, _turns(bins), add_samples, total).astype(cells.dtype)


def _forward(cells, offsets, bins):
  return _pool(cells, offsets, bins), (cells, offsets, bins)


def _backward(residuals, cotangents):
  cells, offsets, bins = residuals
  cotangents = cotangents.astype(jnp.promote_types(cotangents.dtype, jnp.float32))[..., None, :]

  def add_gradients(turn, totals):
    by_cells, by_offsets = totals
    bilinear, pull, neighbours = jax.vjp(lambda offsets: _neighbours(offsets, bins, turn)[::-1], offsets, has_aux=True)
    by_cells = by_cells.at[neighbours].add(bilinear[..., None] * cotangents)
    return by_cells, by_offsets + pull((cells[neighbours] * cotangents).sum(-1))[0]

  totals = jnp.zeros(cells.shape, cotangents.dtype), jnp.zeros_like(offsets)
  by_cells, by_offsets = lax.fori_loop(0, _turns(bins), add_gradients, totals)
  return by_cells.astype(cells.dtype), by_offsets, None


_pool.defvjp(_forward, _backward)


def _turns(bins: Bins) -> Int[Array, '']:
  return bins.samples.prod(axis=-1).max()


def _neighbours(
  offsets: Float[Array, 'R p q 2'], bins: Bins, turn: Int[Array, '']
) -> tuple[Int[Array, 'R p q 4'], Float[Array, 'R p q 4']]:
  """The four cells around one sample of every bin, and their weights in the bin's mean.

  As in RoIAlign, samples up to a cell outside the map are clamped to its border; samples further out have weight 0.

  Args:
    turn: index of the sample in its bin, row by row. Bins with fewer samples get weight 0.
  """
  per_bin = jnp.maximum(bins.samples, 1)
  count = bins.samples.prod(axis=-1)
  in_bin = jnp.stack(jnp.divmod(turn, per_bin[:, 1]), axis=-1)
  grid = np.stack(np.indices(offsets.shape[1:3]), axis=-1)  # [p, q, 2]
  bin_size = bins.size / np.array(offsets.shape[1:3])

  def of_roi(x):
    return x[:, None, None]

  # Position relative to the RoI first: small numbers lose less to rounding, and gradients jump at cell borders.
  in_roi = (grid + of_roi((in_bin + 0.5) / per_bin)) * of_roi(bin_size) + offsets * of_roi(bins.size)
  position = of_roi(bins.start) + in_roi

  shape = of_roi(bins.shape)
  inside = ((position >= -1) & (position <= shape)).all(-1) & of_roi(turn < count)
  position = jnp.clip(position, 0.0, shape - 1)
  low = jnp.floor(lax.stop_gradient(position))
  (y, x), low = jnp.moveaxis(position - low, -1, 0), low.astype(jnp.int32)
  (y0, x0), (y1, x1) = (jnp.moveaxis(index, -1, 0) for index in (low, jnp.minimum(low + 1, shape - 1)))
  width, first = shape[..., 1], of_roi(bins.first_cell)
  neighbours = jnp.stack([row * width + column for row in (y0, y1) for column in (x0, x1)], axis=-1)
  bilinear = jnp.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], axis=-1)
  weight = jnp.where(inside, 1 / jnp.maximum(of_roi(count), 1), 0.0)
  return first[..., None] + neighbours, bilinear * weight[..., None]
