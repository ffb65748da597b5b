"""Centerness of a point in its object (FCOS, Tian et al., 2019)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def centerness(sides: Float[Array, '... 4']) -> Float[Array, '...']:
  """sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b)): 1 in the middle, 0 on the border and outside.

  Args:
    sides: distances (left, top, right, bottom) to the object's sides, in any unit.
  """
  opposite = sides[..., :2], sides[..., 2:]
  furthest = jnp.maximum(*opposite)
  share = jnp.maximum(jnp.minimum(*opposite), 0) / jnp.where(furthest > 0, furthest, 1.0)
  return jnp.sqrt(share[..., 0] * share[..., 1])
