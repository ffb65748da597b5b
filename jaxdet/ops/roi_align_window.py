"""RoIAlign over windows of the feature maps, RoI by RoI: the form for a CPU.

A RoI touches a small part of its level. RoIs are sorted into groups, by level and by the smallest window of a few
static sizes that covers them; a loop over each group slices its windows and multiplies them by the two weight
matrices. The last group of a level takes the whole map, so every RoI is served exactly. The transpose adds windows
into the gradient in place. The loops' trip counts are known only at run time, which is why `roi_align` defines
the derivative itself.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxdet.ops.roi_weights import Sampling, grid_weights

# Height and width of the windows, in feature pixels, by their area. Under the FPN rule a RoI has the area of a square
# of 14 to 28 pixels a side, unless it belongs to the first or last level.
WINDOWS = ((16, 16), (24, 24), (32, 32), (24, 48), (48, 24), (64, 64))


def pool(
  features: tuple[Float[Array, 'B _ _ C'], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
) -> Float[Array, 'B R p q C']:
  """Pools RoI r of image b from `features[levels[b, r]]`; sums are float32."""
  batch, num_rois, _ = rois.shape
  height, width = sampling.bins
  channels = features[0].shape[-1]
  plan = _plan(tuple(f.shape for f in features), strides, rois, levels, sampling)
  pooled = jnp.zeros((batch * num_rois, height, width, channels), jnp.float32)
  for group in plan.groups:
    feature = features[group.level]

    def step(i, pooled, group=group, feature=feature):
      roi, y, x, wy, wx = plan.window(i, group, sampling)
      corner = (roi // num_rois, y, x, jnp.int32(0))
      window = lax.dynamic_slice(feature, corner, (1, *group.size, channels))
      rows = wy @ window.reshape(group.size[0], -1).astype(jnp.float32)
      bins = jnp.einsum('qw,pwc->pqc', wx, rows.reshape(height, group.size[1], channels))
      return lax.dynamic_update_index_in_dim(pooled, bins, roi, 0)

    pooled = lax.fori_loop(group.begin, group.end, step, pooled)
  return pooled.reshape(batch, num_rois, height, width, channels).astype(features[0].dtype)


def backward(
  cotangents: Float[Array, 'B R p q C'],
  shapes: tuple[tuple[int, int, int, int], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
) -> tuple[Float[Array, 'B _ _ C'], ...]:
  """Transpose of `pool`: gradients of the features of these `shapes`, float32."""
  num_rois, height, channels = rois.shape[1], sampling.bins[0], shapes[0][-1]
  plan = _plan(shapes, strides, rois, levels, sampling)
  cotangents = cotangents.reshape(-1, *cotangents.shape[2:]).astype(jnp.float32)
  gradients = [jnp.zeros(shape, jnp.float32) for shape in shapes]
  for group in plan.groups:

    def step(i, gradient, group=group):
      roi, y, x, wy, wx = plan.window(i, group, sampling)
      rows = jnp.einsum('qw,pqc->pwc', wx, cotangents[roi])
      window = (wy.T @ rows.reshape(height, -1)).reshape(1, *group.size, channels)
      corner = (roi // num_rois, y, x, jnp.int32(0))
      return lax.dynamic_update_slice(gradient, window + lax.dynamic_slice(gradient, corner, window.shape), corner)

    gradients[group.level] = lax.fori_loop(group.begin, group.end, step, gradients[group.level])
  return tuple(gradients)


class _Group(NamedTuple):
  """RoIs pooled from one level with one size of window: `plan.order[begin:end]`."""

  level: int
  size: tuple[int, int]  # height, width of the window
  begin: Int[Array, '']
  end: Int[Array, '']


class _Plan(NamedTuple):
  """Positions of the N RoIs of all images on their levels, (y, x) in feature pixels."""

  groups: list[_Group]
  order: Int[Array, 'N']  # RoIs group by group
  start: Float[Array, 'N 2']
  size: Float[Array, 'N 2']
  corner: Float[Array, 'N 2']  # of the window
  last: Float[Array, 'N 2']  # row and column of the level
  wy: Float[Array, 'N p S']  # weights of the window's rows, for windows of at most S cells a side
  wx: Float[Array, 'N q S']

  def window(self, i, group, sampling):
    """(RoI, its window's row and column, weights of the window's rows and columns) of place i of the order."""
    roi = self.order[i]
    corner = self.corner[roi]
    if max(group.size) <= self.wy.shape[-1]:
      wy, wx = self.wy[roi, :, : group.size[0]], self.wx[roi, :, : group.size[1]]
    else:
      low, last = jnp.zeros(2, jnp.float32), self.last[roi]
      wy, wx = grid_weights(self.start[roi], self.size[roi], sampling, corner, group.size, low, last)
    return roi, corner[0].astype(jnp.int32), corner[1].astype(jnp.int32), wy, wx


def _plan(shapes, strides, rois, levels, sampling):
  rois, levels = rois.reshape(-1, 4), levels.reshape(-1)
  last = jnp.array([shape[1:3] for shape in shapes], jnp.float32)[levels] - 1
  start, size = sampling.in_pixels(rois, (1 / jnp.array(strides, jnp.float32))[levels, None])
  # The first and last row and column with a weight that may not be zero.
  first = jnp.clip(jnp.floor(start), 0, last)
  reach = jnp.clip(jnp.floor(start + size) + 1, 0, last) - first

  windows = []  # (level, size), for each level from the smallest to the whole map
  keys = jnp.zeros(levels.shape, jnp.int32)
  for level, (_, *extent, _) in enumerate(shapes):
    sizes = list(dict.fromkeys((min(h, extent[0]), min(w, extent[1])) for h, w in (*WINDOWS, extent)))
    fits = (reach[:, None] < jnp.array(sizes)).all(-1)
    keys = jnp.where(levels == level, len(windows) + jnp.argmax(fits, axis=-1), keys)
    windows += [(level, size) for size in sizes]
  order = jnp.argsort(keys).astype(jnp.int32)
  ends = jnp.searchsorted(keys[order], jnp.arange(len(windows)), side='right')
  begins = jnp.concatenate([jnp.zeros_like(ends[:1]), ends[:-1]])
  groups = [_Group(*window, begins[k], ends[k]) for k, window in enumerate(windows)]

  corner = jnp.minimum(first, last + 1 - jnp.array([size for _, size in windows], jnp.float32)[keys])
  side = max(max(size) for _, size in windows if max(size) <= max(WINDOWS[-1]))
  wy, wx = grid_weights(start, size, sampling, corner, (side, side), jnp.zeros_like(last), last)
  return _Plan(groups, order, start, size, corner, last, wy, wx)
