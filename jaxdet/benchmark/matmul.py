"""What the devices can do: the speed of a large matrix product, which is the measure of all else."""

import jax
import jax.numpy as jnp

from jaxdet.benchmark.timing import timed

SIDES = {'cpu': 4096}  # of the matrices, by backend
SIDE = 8192
CALLS = 10  # at least: on a shared machine few are undisturbed


def peak_flops(dtype: str, repeats: int) -> float:
  """Operations a second of a product of square matrices on all devices, its fastest call being what counts.

  It has the default precision, as the detectors' products: on accelerators float32 is computed in a shorter format.
  """
  side = SIDES.get(jax.default_backend(), SIDE)
  x = jnp.full((side, side), 0.01, dtype)
  product = jax.jit(jnp.matmul)
  timing = timed(lambda: jax.block_until_ready(product(x, x)), max(repeats, CALLS))
  return jax.device_count() * 2 * side**3 / timing.fastest
