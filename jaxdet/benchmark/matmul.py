"""Measures the devices' peak speed by a large matrix product, as reference for other measurements."""

import jax
import jax.numpy as jnp

from jaxdet.benchmark.timing import timed

SIDES = {'cpu': 4096}  # of the matrices, by backend
SIDE = 8192
CALLS = 10  # at least, since other processes disturb most calls on a shared machine


def peak_flops(dtype: str, repeats: int) -> float:
  """Operations per second of a product of square matrices on all devices, by its fastest call.

  It has the default precision, as the detectors' products: accelerators compute float32 in a shorter format.
  """
  side = SIDES.get(jax.default_backend(), SIDE)
  x = jnp.full((side, side), 0.01, dtype)
  product = jax.jit(jnp.matmul)
  timing = timed(lambda: jax.block_until_ready(product(x, x)), max(repeats, CALLS))
  return jax.device_count() * 2 * side**3 / timing.fastest
