"""Convolution with a kernel gradient that is fast on CPUs, and with groups that are fast on CPUs and TPUs.

Elsewhere XLA's own convolution is used. On a CPU matrix products replace two of its slow forms: the kernel's gradient
(with XLA's form a backward pass takes up to three times as long) and groups (six times as long forward, a hundred times
backward); see docs/benchmarks.md. For a TPU groups are merged too: with XLA's form its compiler expects a whole
ResNeXt detector to take four to six times as long; see docs/tpu.md.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AbstractMesh
from jaxtyping import Array, Float

from jaxdet.ops.on_each_device import on_each_device
from jaxdet.sharding import active_data_mesh

BLOCK_PIXELS = 512  # their patches fit into a core's cache
# Groups are merged into dense ones of at least so many channels, with zeros between them, to fill a matrix unit.
MERGED_ON_CPU, MERGED_ON_TPU = 64, 512


class Geometry(NamedTuple):
  """Stride, dilation and groups of a square kernel, and the mesh over which images are sharded."""

  stride: int
  dilation: int
  groups: int
  mesh: AbstractMesh | None


def conv2d(
  x: Float[Array, 'B H W C'],
  kernel: Float[Array, 'S S C/groups F'],
  *,
  stride: int = 1,
  dilation: int = 1,
  groups: int = 1,
) -> Float[Array, 'B H2 W2 F']:
  """Convolves with zero padding of dilation * (S // 2) per side, as in torch: stride 1 and odd S keep the size.

  Differentiable once in reverse mode.
  """
  return _conv2d(x, kernel, Geometry(stride, dilation, groups, active_data_mesh()))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv2d(x, kernel, geometry: Geometry):
  if geometry.groups == 1:
    return _xla(x, kernel, geometry)
  return lax.platform_dependent(
    x,
    kernel,
    cpu=partial(_merged, geometry=geometry, channels=MERGED_ON_CPU),
    tpu=partial(_merged, geometry=geometry, channels=MERGED_ON_TPU),
    default=partial(_xla, geometry=geometry),
  )


def _forward(x, kernel, geometry: Geometry):
  return _conv2d(x, kernel, geometry), (x, kernel)


def _backward(geometry: Geometry, residual, gradient):
  x, kernel = residual

  def by_xla(x, kernel, gradient):
    (of_x,) = jax.linear_transpose(lambda x: _xla(x, kernel, geometry), x)(gradient)
    (of_kernel,) = jax.linear_transpose(lambda kernel: _xla(x, kernel, geometry), kernel)(gradient)
    return of_x, of_kernel

  def by_merging(x, kernel, gradient):
    shape, merged = jax.ShapeDtypeStruct(kernel.shape, kernel.dtype), partial(_merged, channels=MERGED_ON_TPU)
    (of_x,) = jax.linear_transpose(lambda x: merged(x, kernel, geometry), x)(gradient)

    def of_kernel(x, gradient):
      (total,) = jax.linear_transpose(lambda kernel: merged(x, kernel, geometry), shape)(gradient)
      return total.astype(jnp.promote_types(x.dtype, jnp.float32))

    # Summed over devices after the diagonal is taken, when it is small again.
    return of_x, on_each_device(of_kernel, geometry.mesh, summed=True)(x, gradient).astype(kernel.dtype)

  def by_blocks(x, kernel, gradient):
    if geometry.groups > 1:
      of_kernel = _merged_kernel_gradient
      (of_x,) = jax.linear_transpose(lambda x: _merged(x, kernel, geometry, MERGED_ON_CPU), x)(gradient)
    else:
      of_kernel = _kernel_gradient
      of_x = _input_gradient(x, kernel, gradient, geometry)
    of_kernel = on_each_device(partial(of_kernel, size=len(kernel), geometry=geometry), geometry.mesh, summed=True)
    return of_x, of_kernel(x, gradient).astype(kernel.dtype)

  tpu = by_merging if geometry.groups > 1 else by_xla
  return lax.platform_dependent(x, kernel, gradient, cpu=by_blocks, tpu=tpu, default=by_xla)


_conv2d.defvjp(_forward, _backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def pointwise(x: Float[Array, 'B *N C'], kernel: Float[Array, 'C F'], dtype: jnp.dtype) -> Float[Array, 'B *N F']:
  """A 1 x 1 convolution, as a matrix product with results of `dtype`. Differentiable once in reverse mode."""
  return jnp.matmul(x, kernel, preferred_element_type=dtype)


def _pointwise_forward(x, kernel, dtype: jnp.dtype):
  return pointwise(x, kernel, dtype), (x, kernel)


def _pointwise_backward(dtype: jnp.dtype, residual, gradient):
  x, kernel = residual
  # Cast to the type of the forward operands, even if the result was wider: else a GPU would multiply in float32.
  gradient = gradient.astype(x.dtype)
  # As a product of two matrices: jax.grad's sum over several axes takes a CPU up to three times as long.
  pixels, gradients = (a.reshape(-1, a.shape[-1]) for a in (x, gradient))
  wider = jnp.promote_types(x.dtype, jnp.float32)
  of_kernel = jnp.einsum('ni,no->io', pixels, gradients, preferred_element_type=wider)
  return jnp.matmul(gradient, kernel.T).astype(x.dtype), of_kernel.astype(kernel.dtype)


pointwise.defvjp(_pointwise_forward, _pointwise_backward)


def _xla(x, kernel, geometry: Geometry):
  stride, dilation, groups, _ = geometry
  return lax.conv_general_dilated(
    x,
    kernel,
    window_strides=(stride, stride),
    padding=[(dilation * (kernel.shape[0] // 2),) * 2] * 2,
    rhs_dilation=(dilation, dilation),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )


def _merged(x, kernel, geometry: Geometry, channels: int):
  """A grouped convolution as a few dense ones: groups side by side, with zeros between them."""
  size, _, depth, features = kernel.shape
  merged, wide = _merge(geometry.groups, depth, channels)
  each = features // geometry.groups
  kernel = kernel.reshape(size, size, depth, wide, merged, each)
  apart = jnp.eye(merged, dtype=kernel.dtype)
  dense = jnp.einsum('stiwmo,mn->stwnimo', kernel, apart).reshape(size, size, wide, merged * depth, merged * each)
  parts = [_xla(x, dense[:, :, k], geometry._replace(groups=1)) for k, x in enumerate(jnp.split(x, wide, -1))]
  return jnp.concatenate(parts, -1)


def _merge(groups: int, depth: int, channels: int) -> tuple[int, int]:
  """(groups merged into one, number of merged groups)."""
  merged = next(n for n in range(1, groups + 1) if groups % n == 0 and (n * depth >= channels or n == groups))
  return merged, groups // merged


def _input_gradient(x, kernel, gradient, geometry: Geometry) -> Float[Array, 'B H W C']:
  """Convolves the gradient with the flipped kernel.

  Inside loops and branches XLA's CPU compiler has a fast form only if the kernel has the memory layout of a forward
  convolution.
  """
  stride, dilation, *_ = geometry
  turned = lax.optimization_barrier(kernel[::-1, ::-1].swapaxes(2, 3))
  after = dilation * (len(kernel) // 2)  # padding; less than `before` if the kernel's size is even
  before = dilation * (len(kernel) - 1) - after
  padding = [
    (before, side + after - stride * (made - 1) - 1)
    for side, made in zip(x.shape[1:3], gradient.shape[1:3], strict=True)
  ]
  return lax.conv_general_dilated(
    gradient,
    turned,
    window_strides=(1, 1),
    padding=padding,
    lhs_dilation=(stride, stride),
    rhs_dilation=(dilation, dilation),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def _kernel_gradient(
  x: Float[Array, 'B H W C'], gradient: Float[Array, 'B H2 W2 F'], size: int, geometry: Geometry
) -> Float[Array, 'S S C F']:
  """Sum over pixels of (patch of x) x (gradient), in blocks of pixels whose patches stay in the cache."""
  stride, dilation, *_ = geometry
  images, height, width, features = gradient.shape
  channels, pad, reach = x.shape[-1], dilation * (size // 2), dilation * (size - 1) + 1
  # A block is some rows of one image, or some whole small images.
  rows = min(height, max(1, BLOCK_PIXELS // width))
  together = min(images, max(1, BLOCK_PIXELS // (height * width))) if rows == height else 1
  across, down = -(-images // together), -(-height // rows)
  more, below = across * together - images, max(pad, (down * rows - 1) * stride + reach - pad - x.shape[1])
  x = jnp.pad(x, ((0, more), (pad, below), (pad, pad), (0, 0)))
  gradient = jnp.pad(gradient, ((0, more), (0, down * rows - height), (0, 0), (0, 0)))
  wider = jnp.promote_types(x.dtype, jnp.float32)

  def add_block(block, total):
    image, row = block // down * together, block % down * rows
    part = (together, (rows - 1) * stride + reach, x.shape[2], channels)
    part = lax.dynamic_slice(x, (image, row * stride, 0, 0), part)
    outputs = lax.dynamic_slice(gradient, (image, row, 0, 0), (together, rows, width, features))
    patches = [
      part[:, y : y + (rows - 1) * stride + 1 : stride, x : x + (width - 1) * stride + 1 : stride]
      for y in range(0, reach, dilation)
      for x in range(0, reach, dilation)
    ]
    patches = jnp.concatenate(patches, -1).reshape(-1, size * size * channels)
    return total + jnp.matmul(outputs.reshape(-1, features).T, patches, preferred_element_type=wider)

  total = lax.fori_loop(0, across * down, add_block, jnp.zeros((features, size * size * channels), wider))
  return total.T.reshape(size, size, channels, features)


def _merged_kernel_gradient(x, gradient, size: int, geometry: Geometry) -> Float[Array, 'S S C/groups F']:
  """Kernel gradient of a grouped convolution: the diagonal blocks of the merged groups' dense gradient."""
  groups = geometry.groups
  depth, each = x.shape[-1] // groups, gradient.shape[-1] // groups
  merged, wide = _merge(groups, depth, MERGED_ON_CPU)
  parts = zip(jnp.split(x, wide, -1), jnp.split(gradient, wide, -1), strict=True)
  dense = jnp.stack([_kernel_gradient(*part, size, geometry) for part in parts])
  dense = dense.reshape(wide, size, size, merged, depth, merged, each)
  own = jnp.diagonal(dense, axis1=3, axis2=5)  # [wide, size, size, depth, each, merged]
  return own.transpose(1, 2, 3, 0, 5, 4).reshape(size, size, depth, -1)
