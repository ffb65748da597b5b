"""Conventions of classification losses, masking of padding, and the mean over valid RoIs.

Every classification loss in this folder takes, in this order,

- logits [..., R, C]: C = K classes, then the columns that the method adds; its docstring names them.
- labels [..., R]: 0..K - 1, or K for background; arbitrary for padding.
- valid [..., R]: False for padding, which changes neither loss nor state and has gradient 0.
- statistics of the classes, [K]; then `state`, a flat dict of arrays, and a random `key`, if the method has them.

It returns a float32 scalar, reduced over all leading axes as upstream reduces over a batch, and the new state if the
method has one. Weights, samples and states carry no gradient.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def mask_padding(
  logits: Float[Array, '*B R C'], labels: Int[Array, '*B R'], valid: Bool[Array, '*B R'], background: int
) -> tuple[Float[Array, '*B R C'], Int[Array, '*B R']]:
  """Returns float32 logits and labels, with zeros and `background` in padding."""
  return jnp.where(valid[..., None], logits, 0.0).astype(jnp.float32), jnp.where(valid, labels, background)


def mean_over(per_region: Float[Array, '*B R'], counted: Bool[Array, '*B R']) -> Float[Array, '']:
  """Mean over the `counted` rows; 0 if there are none."""
  return jnp.where(counted, per_region, 0.0).sum() / jnp.maximum(counted.sum(), 1)
