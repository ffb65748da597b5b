"""Weighted sums of bilinear samples at places that data choose: what deformable attention and convolution read.

The operator has two forms with one result: `bilinear_matmul` for a TPU, which gathers and scatters one row after the
other, and `bilinear_gather` for a GPU and, in chunks, a CPU; which runs is decided here. Nothing that was read is kept
for the backward pass.
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

  All is zero outside of the map. What is a whole cell or more away from it, or is no number, reads nothing and has no
  gradient, as in the kernels of mmcv, Detectron2 and Deformable DETR.

  Args:
    feature: of any float type; the result and its sums are float32, or float64 for float64.
    y, x: in cells; the centre of the first cell is 0.
    weights: of the points.
  """
  return on_each_device(_read, active_data_mesh())(feature, y, x, weights)


class Form(NamedTuple):
  """One way to do it."""

  read: Callable[..., Array]
  backward: Callable[..., tuple[Array, ...]]  # from the arguments of `read` and cotangents to their gradients


FORMS = {
  'gather': Form(bilinear_gather.read, bilinear_gather.backward),
  'chunks': Form(bilinear_gather.read_in_chunks, bilinear_gather.backward_in_chunks),
  'matmul': Form(bilinear_matmul.read, bilinear_matmul.backward),
}


def _by_platform(tpu: Callable, cpu: Callable, default: Callable) -> Callable:
  """Decided where the program is compiled, not traced: a program that is exported for several platforms holds all."""
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
  """The points in the precision of sums; those that read nothing two cells away, without weight."""
  dtype = jnp.promote_types(feature.dtype, jnp.float32)
  height, width = feature.shape[1:3]
  inside = (y > -1) & (y < height) & (x > -1) & (x < width)
  return tuple(jnp.where(inside, v.astype(dtype), other) for v, other in ((y, -2.0), (x, -2.0), (weights, 0.0)))
