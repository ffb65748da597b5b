"""Objects in blocks: the array of all objects against all boxes of a pyramid never exists."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Objects compared at once; the memory is BLOCK * N floats.
BLOCK = 8


def in_blocks(
  objects: Float[Array, 'M 4'], valid: Bool[Array, 'M']
) -> tuple[Float[Array, 'P 4'], Bool[Array, 'P'], Int[Array, '']]:
  """Objects and their validity padded to whole blocks, one at least; and where the last that is valid ends."""
  padding = BLOCK * max(1, -(-objects.shape[0] // BLOCK)) - objects.shape[0]
  objects, valid = jnp.pad(objects, ((0, padding), (0, 0))), jnp.pad(valid, (0, padding))
  return objects, valid, jnp.max(jnp.where(valid, jnp.arange(valid.shape[0]) + 1, 0), initial=0)
