"""The focal loss of heat maps (Law & Deng, 2018): a cell near a corner is a lesser mistake than one far away."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def gaussian_focal_loss(
  logits: Float[Array, '*S'], heat: Float[Array, '*S'], alpha: float, gamma: float
) -> Float[Array, '']:
  """The sum over cells and classes; float32.

  Where the heat y is 1: -(1 - p)^alpha log(p); elsewhere -(1 - y)^gamma p^alpha log(1 - p), p the sigmoid. From logits,
  so that a certain mistake has a gradient too; mmdetection adds 1e-12 to probabilities, where its loss ends.

  Args:
    logits: of being a corner.
    heat: in [0, 1].
    alpha: power of the mistake.
    gamma: power of the distance from a corner.
  """
  p = jax.nn.sigmoid(logits)
  is_corner = -((1 - p) ** alpha) * jax.nn.log_sigmoid(logits)
  is_none = -((1 - heat) ** gamma) * p**alpha * jax.nn.log_sigmoid(-logits)
  return jnp.where(heat == 1, is_corner, is_none).sum()
