"""Deformable convolution (Dai et al., 2017) and its modulated second version (Zhu et al., 2019).

The operator is that of mmcv and Detectron2.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.ops.bilinear_reads import bilinear_reads


def deformable_conv(
  x: Float[Array, 'B H W C'],
  kernel: Float[Array, 'S S C/G F'],
  offsets: Float[Array, 'B Ho Wo D S*S 2'],
  modulation: Float[Array, 'B Ho Wo D S*S'] | None,
  stride: int = 1,
  dilation: int = 1,
  groups: int = 1,
  padding: int | None = None,
) -> Float[Array, 'B Ho Wo F']:
  """Convolves S x S bilinear samples taken at the plain convolution's positions plus offsets.

  Args:
    x: features; zero outside.
    kernel: weights, in G groups of channels.
    offsets: (y, x) in cells of x, for D groups of channels (D divides C) and each sample in row-major order.
    modulation: factors of the samples (second version); None: all 1.
    stride, dilation, groups: as of the plain convolution.
    padding: zeros on each side; None: with stride 1 the result has the size of x.
  """
  size = kernel.shape[0]
  padding = dilation * (size // 2) if padding is None else padding
  positions = offsets + _plain_positions(offsets.shape[1:3], size, stride, dilation, padding)
  if modulation is None:
    modulation = jnp.ones((), offsets.dtype)
  modulation = jnp.broadcast_to(modulation, offsets.shape[:-1])
  samples = _sample(x, positions, modulation)
  samples = samples.reshape(*samples.shape[:4], groups, -1)
  kernel = kernel.reshape(size * size, kernel.shape[2], groups, -1).astype(x.dtype)
  wide = jnp.promote_types(x.dtype, jnp.float32)
  y = jnp.einsum('bhwkgc,kcgf->bhwgf', samples, kernel, preferred_element_type=wide)
  return y.reshape(*y.shape[:3], -1).astype(x.dtype)


def _sample(
  x: Float[Array, 'B H W C'], positions: Float[Array, 'B Ho Wo D K 2'], weights: Float[Array, 'B Ho Wo D K']
) -> Float[Array, 'B Ho Wo K C']:
  """Weighted samples; each of D groups of channels is read at its own (y, x)."""
  batch, height, width, groups, count = weights.shape
  feature = x.reshape(*x.shape[:3], groups, -1)

  def queries(values):  # each sample is one
    return values.swapaxes(3, 4).reshape(batch, -1, groups, 1)

  samples = bilinear_reads(feature, *map(queries, (positions[..., 0], positions[..., 1], weights)))
  return samples.reshape(batch, height, width, count, -1).astype(x.dtype)


def _plain_positions(
  shape: tuple[int, int], size: int, stride: int, dilation: int, padding: int
) -> Float[Array, 'Ho Wo 1 S*S 2']:
  """Sample positions (y, x) of the plain convolution."""
  y, x = (jnp.arange(cells, dtype=jnp.float32) * stride - padding for cells in shape)
  steps = jnp.arange(size, dtype=jnp.float32) * dilation
  y, x = y[:, None] + steps, x[:, None] + steps  # [Ho, S], [Wo, S]
  grid = jnp.stack(jnp.broadcast_arrays(y[:, None, :, None], x[None, :, None, :]), -1)
  return grid.reshape(*shape, 1, size * size, 2)
