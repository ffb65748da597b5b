"""Padding in classification losses: it is masked, and the mean is over the valid RoIs.

Every classification loss in this folder takes, in this order,

- logits [..., R, C]: C = K classes, then the columns that the method adds; its docstring names them.
- labels [..., R]: 0..K - 1, or K for background; rows that are not valid may hold anything.
- valid [..., R]: the rows that hold a RoI. Padding changes neither loss nor state, and has gradient 0.
- facts about the classes, [K]; then `state`, a flat dict of arrays, and a random `key`, where the method has them.

It returns a scalar in float32, reduced over all leading axes as upstream reduces it over a batch; or that and the new
state. Weights, samples and states carry no gradient.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def mask_padding(
  logits: Float[Array, '*B R C'], labels: Int[Array, '*B R'], valid: Bool[Array, '*B R'], background: int
) -> tuple[Float[Array, '*B R C'], Int[Array, '*B R']]:
  """Logits in float32 and labels, with zeros and `background` in the rows that are not valid."""
  return jnp.where(valid[..., None], logits, 0.0).astype(jnp.float32), jnp.where(valid, labels, background)


def mean_over(per_region: Float[Array, '*B R'], counted: Bool[Array, '*B R']) -> Float[Array, '']:
  """The mean over the rows that are `counted`; 0 where none is."""
  return jnp.where(counted, per_region, 0.0).sum() / jnp.maximum(counted.sum(), 1)
