"""Weighted sums of bilinear samples at given points, for deformable attention and convolution.

Chooses between two forms with one result: `bilinear_matmul` for TPUs, which gather and scatter row by row, and
`bilinear_gather` for GPUs and, in chunks, CPUs. Samples are not kept for the backward pass.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxdet.ops import bilinear_gather, bilinear_matmul
from jaxdet.ops.on_each_device import on_each_device
from jaxdet.sharding import active_data_mesh


@jax.named_scope('bilinear_reads')
def bilinear_reads(
  feature: Float[Array, 'B H W G D'],
  y: Float[Array, 'B Q G P'],
  x: Float[Array, 'B Q G P'],
  weights: Float[Array, 'B Q G P'],
) -> Float[Array, 'B Q G D']:
  """Reads P points for each of Q queries and G groups of channels: the sum of bilinear samples times weights.

  The map is zero outside. A point a whole cell or more outside, or not a number, reads zero and has no gradient, as in
  the kernels of mmcv, Detectron2 and Deformable DETR.

  Args:
    feature: of any float type; the result and its sums are float32, or float64 for float64.
    y, x: in cells; the centre of the first cell is 0.
    weights: of the points.
  """
  return on_each_device(_read, active_data_mesh())(feature, y, x, weights)


class Form(NamedTuple):
  """One implementation: `read` and its backward pass."""

  read: Callable[..., Array]
  backward: Callable[..., tuple[Array, ...]]  # from the arguments of `read` and cotangents to their gradients


FORMS = {
  'gather': Form(bilinear_gather.read, bilinear_gather.backward),
  'chunks': Form(bilinear_gather.read_in_chunks, bilinear_gather.backward_in_chunks),
  'matmul': Form(bilinear_matmul.read, bilinear_matmul.backward),
}


def _by_platform(tpu: Callable, cpu: Callable, default: Callable) -> Callable:
  """Chooses at compile time, not when traced: a program exported for several platforms holds all forms."""
  return lambda *args: lax.platform_dependent(*args, tpu=tpu, cpu=cpu, default=default)


_form = Form(*map(_by_platform, FORMS['matmul'], FORMS['chunks'], FORMS['gather']))


@jax.custom_vjp
def _read(feature, y, x, weights):
  return _form.read(feature, *_inside(feature, y, x, weights))


def _forward(*args):
  return _read(*args), args


def _backward(args, cotangents):
  feature, *points = args
  gradients = _form.backward(feature, *_inside(*args), cotangents)
  return tuple(g.astype(a.dtype) for g, a in zip(gradients, (feature, *points), strict=True))


_read.defvjp(_forward, _backward)


def _inside(feature, y, x, weights):
  """Points in the precision of sums; points outside the map are moved to -2 and get weight 0."""
  dtype = jnp.promote_types(feature.dtype, jnp.float32)
  height, width = feature.shape[1:3]
  inside = (y > -1) & (y < height) & (x > -1) & (x < width)
  return tuple(jnp.where(inside, v.astype(dtype), other) for v, other in ((y, -2.0), (x, -2.0), (weights, 0.0)))
