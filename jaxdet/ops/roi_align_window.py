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

from jaxdet.ops.roi_weights import Sampling, axis_weights

# Sides of the windows, in feature pixels. Under the FPN rule a RoI has 14 to 28 pixels a side, unless it is
# elongated or belongs to the first or last level.
SIDES = (16, 24, 32, 64)


def pool(
  features: tuple[Float[Array, 'B _ _ C'], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
) -> Float[Array, 'B R p q C']:
  """Pools RoI r of image b from `features[levels[b, r]]`; float32."""
  batch, num_rois, _ = rois.shape
  height, width = sampling.bins
  channels = features[0].shape[-1]
  order, groups = _sort(tuple(f.shape for f in features), strides, rois, levels, sampling)
  rois = rois.reshape(-1, 4)
  pooled = jnp.zeros((batch * num_rois, height, width, channels), jnp.float32)
  for group in groups:
    feature = features[group.level]

    def step(i, pooled, group=group, feature=feature):
      index = order[i]
      y, x, wy, wx = _window(rois[index], group, sampling)
      window = lax.dynamic_slice(feature, (index // num_rois, y, x, 0), (1, *group.size, channels))
      rows = wy @ window.reshape(group.size[0], -1).astype(jnp.float32)
      bins = jnp.einsum('qw,pwc->pqc', wx, rows.reshape(height, group.size[1], channels))
      return lax.dynamic_update_index_in_dim(pooled, bins, index, 0)

    pooled = lax.fori_loop(group.begin, group.end, step, pooled)
  return pooled.reshape(batch, num_rois, height, width, channels)


def spread(
  cotangents: Float[Array, 'B R p q C'],
  shapes: tuple[tuple[int, int, int, int], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
) -> tuple[Float[Array, 'B _ _ C'], ...]:
  """The transpose of `pool`: gradients of the features of these `shapes`, float32."""
  num_rois, height, channels = rois.shape[1], sampling.bins[0], shapes[0][-1]
  order, groups = _sort(shapes, strides, rois, levels, sampling)
  rois = rois.reshape(-1, 4)
  cotangents = cotangents.reshape(-1, *cotangents.shape[2:]).astype(jnp.float32)
  gradients = [jnp.zeros(shape, jnp.float32) for shape in shapes]
  for group in groups:

    def step(i, gradient, group=group):
      index = order[i]
      y, x, wy, wx = _window(rois[index], group, sampling)
      rows = jnp.einsum('qw,pqc->pwc', wx, cotangents[index])
      window = (wy.T @ rows.reshape(height, -1)).reshape(1, *group.size, channels)
      corner = (index // num_rois, y, x, 0)
      return lax.dynamic_update_slice(gradient, window + lax.dynamic_slice(gradient, corner, window.shape), corner)

    gradients[group.level] = lax.fori_loop(group.begin, group.end, step, gradients[group.level])
  return tuple(gradients)


class _Group(NamedTuple):
  """RoIs that are pooled from one level with one size of window: `order[begin:end]`."""

  level: int
  stride: int
  extent: tuple[int, int]  # height, width of the level's map
  size: tuple[int, int]  # height, width of the window
  begin: Int[Array, '']
  end: Int[Array, '']


def _sort(shapes, strides, rois, levels, sampling) -> tuple[Int[Array, 'BR'], list[_Group]]:
  keys = jnp.zeros(levels.shape, jnp.int32)
  windows = []
  for level, ((_, *extent, _), stride) in enumerate(zip(shapes, strides, strict=True)):
    sizes = dict.fromkeys(tuple(min(side, e) for e in extent) for side in (*SIDES, max(extent)))
    first, last = _covered(rois, stride, extent, sampling)
    fits = jnp.stack([(last - first < jnp.array(size)).all(-1) for size in sizes], axis=-1)
    keys = jnp.where(levels == level, len(windows) + jnp.argmax(fits, axis=-1), keys)
    windows += [(level, stride, tuple(extent), size) for size in sizes]
  keys = keys.reshape(-1)
  order = jnp.argsort(keys)
  ends = jnp.searchsorted(keys[order], jnp.arange(len(windows)), side='right')
  begins = jnp.concatenate([jnp.zeros_like(ends[:1]), ends[:-1]])
  return order, [_Group(*window, begins[k], ends[k]) for k, window in enumerate(windows)]


def _covered(rois, stride, extent, sampling):
  """First and last row and column with a weight that may not be zero, [..., 2] each."""
  start, size = sampling.in_pixels(rois, 1 / stride)
  limit = jnp.array(extent, jnp.float32) - 1
  return jnp.clip(jnp.floor(start), 0, limit), jnp.clip(jnp.floor(start + size) + 1, 0, limit)


def _window(roi, group, sampling):
  """Corner (y, x) of the RoI's window, and the weights of its rows and columns."""
  first, _ = _covered(roi, group.stride, group.extent, sampling)
  start, size = sampling.in_pixels(roi, 1 / group.stride)
  corner = jnp.minimum(first, jnp.array(group.extent, jnp.float32) - jnp.array(group.size, jnp.float32))
  weights = [
    axis_weights(
      start[axis],
      size[axis],
      sampling.bins[axis],
      sampling.ratio,
      corner[axis] + jnp.arange(group.size[axis]),
      jnp.float32(0),
      jnp.float32(group.extent[axis] - 1),
    )
    for axis in range(2)
  ]
  y, x = corner.astype(jnp.int32)
  return y, x, *weights
