"""Deformable convolution (Dai et al., 2017) and its second version, whose samples are weighted (Zhu et al., 2019).

The operator is that of mmcv and Detectron2. A sample's four neighbours lie side by side in a table made for the call,
so that one gather of long rows reads them; the backward pass gathers them anew instead of keeping them.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.ops.per_image import per_image


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
  """A convolution whose S x S samples are bilinear, at the places of the plain convolution plus offsets.

  Args:
    x: features; zero outside.
    kernel: of G groups.
    offsets: (y, x) in cells of x, for D groups of channels, D a divisor of C, and each sample in row-major order.
    modulation: what the samples are multiplied with (the second version); None: nothing.
    stride, dilation, groups: as of the plain convolution.
    padding: of zeros on each side; None: with stride 1 the result has the size of x.
  """
  size = kernel.shape[0]
  padding = dilation * (size // 2) if padding is None else padding
  positions = offsets + _plain_positions(offsets.shape[1:3], size, stride, dilation, padding)
  if modulation is None:
    modulation = jnp.ones((), offsets.dtype)
  modulation = jnp.broadcast_to(modulation, offsets.shape[:-1])
  samples = per_image(jax.checkpoint(sample))(x, positions, modulation)
  samples = samples.reshape(*samples.shape[:4], groups, -1)
  kernel = kernel.reshape(size * size, kernel.shape[2], groups, -1).astype(x.dtype)
  wide = jnp.promote_types(x.dtype, jnp.float32)
  y = jnp.einsum('bhwkgc,kcgf->bhwgf', samples, kernel, preferred_element_type=wide)
  return y.reshape(*y.shape[:3], -1).astype(x.dtype)


def sample(
  x: Float[Array, 'H W C'], positions: Float[Array, 'Ho Wo D K 2'], weights: Float[Array, 'Ho Wo D K']
) -> Float[Array, 'Ho Wo K C']:
  """Weighted bilinear samples of one image, of each of D groups of channels at its own (y, x); zero outside."""
  height, width, channels = x.shape
  groups = positions.shape[2]
  size = jnp.array([height, width], positions.dtype)
  # Nothing is left of the map a whole cell beyond its border.
  inside = ((positions > -1) & (positions < size)).all(-1)
  positions = jnp.where(inside[..., None], positions, 0.0)
  corner = jnp.floor(jax.lax.stop_gradient(positions))
  y, x_ = jnp.moveaxis(positions - corner, -1, 0)
  shares = jnp.stack([(1 - y) * (1 - x_), (1 - y) * x_, y * (1 - x_), y * x_], -1)
  shares = shares * jnp.where(inside, weights, 0.0)[..., None]

  # Row (i, j) of the table has cells (i - 1, j - 1), (i - 1, j), (i, j - 1) and (i, j).
  padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
  neighbours = [padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]]
  table = jnp.stack([n.reshape(-1, groups, channels // groups) for n in neighbours], 2)
  rows, columns = jnp.moveaxis(corner.astype(jnp.int32) + 1, -1, 0)
  index = rows * (width + 1) + columns
  found = jax.vmap(lambda table, index: table[index], (1, 2), 2)(table, index)
  samples = (found * shares[..., None].astype(x.dtype)).sum(-2)
  return jnp.moveaxis(samples, 2, 3).reshape(*index.shape[:2], index.shape[3], channels)


def _plain_positions(
  shape: tuple[int, int], size: int, stride: int, dilation: int, padding: int
) -> Float[Array, 'Ho Wo 1 S*S 2']:
  """Where the samples of the plain convolution are, (y, x)."""
  y, x = (jnp.arange(cells, dtype=jnp.float32) * stride - padding for cells in shape)
  steps = jnp.arange(size, dtype=jnp.float32) * dilation
  y, x = y[:, None] + steps, x[:, None] + steps  # [Ho, S], [Wo, S]
  grid = jnp.stack(jnp.broadcast_arrays(y[:, None, :, None], x[None, :, None, :]), -1)
  return grid.reshape(*shape, 1, size * size, 2)
