"""RoIAlign along one axis as a matrix: the weight of each row of a feature map in each bin.

RoIAlign (He et al. 2017, Mask R-CNN) averages bilinear samples that lie on a regular grid in every bin. Bilinear
weights, the clamp at the border, the cut-off beyond it and the mean all factor over the axes, so

  out[p, q, c] = sum_h wy[p, h] sum_w wx[q, w] features[h, w, c]

The samples of a bin are an arithmetic progression. The samples between rows h - 1 and h are a range of it, and the
linear kernel max(0, 1 - |distance|) is linear there, so their weights sum to an arithmetic series. So a weight costs
the same for any number of samples, and RoIs with different numbers of samples fit static shapes.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Sampling:
  """The settings of one RoIAlign.

  Attributes:
    bins: (height, width) of the output.
    ratio: samples per bin and axis; 0: ceil(RoI size / bins), for each RoI and axis.
    aligned: True shifts coordinates by -0.5, so that pixel centres are at integers (Detectron2's ROIAlignV2).
      False does not, and makes RoIs at least one feature pixel wide and high (the first published operator).
  """

  bins: tuple[int, int]
  ratio: int = 0
  aligned: bool = True

  def in_pixels(self, rois: Float[Array, '*R 4'], scale) -> tuple[Float[Array, '*R 2'], Float[Array, '*R 2']]:
    """(start, size) of RoIs as (y, x), in feature pixels; `scale` is 1 / stride. Flipped RoIs have size 0."""
    offset = 0.5 if self.aligned else 0.0
    start = rois[..., 1::-1] * scale - offset
    end = rois[..., :1:-1] * scale - offset
    return start, jnp.maximum(end - start, 0.0 if self.aligned else 1.0)


def grid_weights(
  start: Float[Array, '*R 2'],
  size: Float[Array, '*R 2'],
  sampling: Sampling,
  corner: Float[Array, '*R 2'],
  shape: tuple[int, int],
  low: Float[Array, '*R 2'],
  high: Float[Array, '*R 2'],
) -> tuple[Float[Array, '*R p h'], Float[Array, '*R q w']]:
  """Computes `axis_weights` for the rows and columns of a window of `shape` with first cell `corner`; all (y, x)."""
  if sampling.bins[0] == sampling.bins[1]:  # both axes at once: half the code to compile
    cells = corner[..., None] + jnp.arange(max(shape))
    weights = axis_weights(start, size, sampling.bins[0], sampling.ratio, cells, low, high)
    return weights[..., 0, :, : shape[0]], weights[..., 1, :, : shape[1]]
  return tuple(
    axis_weights(
      start[..., axis],
      size[..., axis],
      sampling.bins[axis],
      sampling.ratio,
      corner[..., axis, None] + jnp.arange(shape[axis]),
      low[..., axis],
      high[..., axis],
    )
    for axis in range(2)
  )


def axis_weights(
  start: Float[Array, '*R'],
  size: Float[Array, '*R'],
  bins: int,
  ratio: int,
  rows: Float[Array, '*R L'],
  low: Float[Array, '*R'],
  high: Float[Array, '*R'],
) -> Float[Array, '*R bins L']:
  """Computes `bin_weights` with the same rows for all bins of a RoI."""
  return bin_weights(start, size, bins, ratio, rows[..., None, :], low, high)


def bin_weights(
  start: Float[Array, '*R'],
  size: Float[Array, '*R'],
  bins: int,
  ratio: int,
  rows: Float[Array, '*R bins|1 L'],
  low: Float[Array, '*R'],
  high: Float[Array, '*R'],
) -> Float[Array, '*R bins L']:
  """Weight of each row in each bin: the mean over the bin's samples of the linear kernel around the row.

  Args:
    start: position of the first bin's edge, in rows; a row's centre is at its own integer position.
    size: extent of all bins together, in rows, at least 0.
    bins: number of bins.
    ratio: samples in a bin; 0: ceil(size / bins).
    rows: consecutive whole numbers, the rows whose weights are wanted.
    low: position of the first row of the map. Samples before it are clamped to it; samples before low - 1 are zero.
    high: position of the last row, likewise; samples at exactly low - 1 and high + 1 still count.

  Returns:
    float32 weights; zeros for a bin without samples.
  """
  per_bin = samples_per_bin(size, bins, ratio)[..., None]
  low, high = low[..., None], high[..., None]
  divisor = jnp.maximum(per_bin, 1.0)
  bin_start, bin_size = _bins(start, size, bins)

  def position(sample):
    return bin_start + (sample + 0.5) * bin_size / divisor

  first = position(0.0)
  step = jnp.maximum(bin_size / divisor, 1e-6)  # for index arithmetic; bins without extent have no step

  # The first sample not before low - 1 and the first after high + 1. The weight jumps there, so the estimate of
  # the index is checked against the positions themselves; at every other edge weights are continuous.
  begin = jnp.ceil((low - 1 - first) / step)
  begin += (position(begin) < low - 1) * 1.0 - (position(begin - 1) >= low - 1) * 1.0
  end = jnp.floor((high + 1 - first) / step) + 1
  end += (position(end) <= high + 1) * 1.0 - (position(end - 1) > high + 1) * 1.0
  begin, end = jnp.clip(begin, 0.0, per_bin), jnp.clip(end, 0.0, per_bin)
  # Samples before low and samples from high on are clamped.
  begin_inside = jnp.clip(jnp.ceil((low - first) / step), begin, end)
  end_inside = jnp.clip(jnp.ceil((high - first) / step), begin_inside, end)
  before_low, after_high = begin_inside - begin, end - end_inside

  bin_start, bin_size, divisor, first, step, low, high, begin_inside, end_inside, before_low, after_high = (
    x[..., None]
    for x in (bin_start, bin_size, divisor, first, step, low, high, begin_inside, end_inside, before_low, after_high)
  )
  edges = jnp.concatenate([rows - 1, rows[..., -1:], rows[..., -1:] + 1], axis=-1)
  edges = jnp.clip(jnp.ceil((edges - first) / step), begin_inside, end_inside)
  # Samples [rise, top) lie in the row before, [top, fall) in this one.
  rise, top, fall = edges[..., :-2], edges[..., 1:-1], edges[..., 2:]

  def mean_position(begin, end):
    return bin_start + (begin + end) / 2 * bin_size / divisor

  rising = (top - rise) * (mean_position(rise, top) - (rows - 1))
  falling = (fall - top) * ((rows + 1) - mean_position(top, fall))
  clamped = before_low * _linear_kernel(rows - low) + after_high * _linear_kernel(rows - high)
  return (rising + falling + clamped) / divisor


def bin_rows(
  start: Float[Array, '*R'],
  size: Float[Array, '*R'],
  bins: int,
  ratio: int,
  low: Float[Array, '*R'],
  high: Float[Array, '*R'],
) -> tuple[Float[Array, '*R bins'], Float[Array, '*R bins']]:
  """First and last row that can have a weight in each bin; arguments as of `bin_weights`."""
  low, high = low[..., None], high[..., None]
  bin_start, bin_size = _bins(start, size, bins)
  before = bin_size / jnp.maximum(samples_per_bin(size, bins, ratio)[..., None], 1.0) / 2  # the first sample
  first, last = jnp.floor(bin_start + before), jnp.floor(bin_start + bin_size - before) + 1
  return jnp.clip(first, low, high), jnp.clip(last, low, high)


def _bins(
  start: Float[Array, '*R'], size: Float[Array, '*R'], bins: int
) -> tuple[Float[Array, '*R bins'], Float[Array, '*R 1']]:
  """(start of each bin, size of a bin), in rows."""
  # In upstream's order of operations: far from the origin, positions round by more than the sums do. The divisor is
  # data, because XLA turns division by a constant into a product.
  size = size[..., None]
  bin_size = size / jnp.where(size >= 0, bins, 1.0)
  return start[..., None] + jnp.arange(bins, dtype=jnp.float32) * bin_size, bin_size


def samples_per_bin(size: Float[Array, '*R'], bins: int, ratio: int) -> Float[Array, '*R']:
  """Number of samples of a bin along an axis; `size` is that of all bins together, as in `axis_weights`."""
  if ratio > 0:
    return jnp.where(size >= 0, float(ratio), 0.0)
  count = jnp.ceil(size / bins)
  # XLA may divide by a constant as a product with its inverse, and 14 * (1 / 7) may be above 2.
  return jnp.where((count - 1) * bins >= size, jnp.maximum(count - 1, 0.0), count)


def _linear_kernel(distance):
  return jnp.maximum(1 - jnp.abs(distance), 0.0)
