"""Splits objects into blocks, so that the array of all objects against all boxes is never formed."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Objects compared at once; the memory is BLOCK * N floats.
BLOCK = 8


def in_blocks(
  objects: Float[Array, 'M 4'], valid: Bool[Array, 'M']
) -> tuple[Float[Array, 'P 4'], Bool[Array, 'P'], Int[Array, '']]:
  """Pads objects and their validity to whole blocks, at least one; also returns the last valid row + 1."""
  padding = BLOCK * max(1, -(-objects.shape[0] // BLOCK)) - objects.shape[0]
  objects, valid = jnp.pad(objects, ((0, padding), (0, 0))), jnp.pad(valid, (0, padding))
  return objects, valid, jnp.max(jnp.where(valid, jnp.arange(valid.shape[0]) + 1, 0), initial=0)
