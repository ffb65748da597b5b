"""Focal loss of heat maps (Law & Deng, 2018): errors near a corner weigh less than errors far away."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def gaussian_focal_loss(
  logits: Float[Array, '*S'], heat: Float[Array, '*S'], alpha: float, gamma: float
) -> Float[Array, '']:
  """Sum of the loss over cells and classes; float32.

  At heat y = 1: -(1 - p)^alpha log(p); elsewhere -(1 - y)^gamma p^alpha log(1 - p), with p the sigmoid. It is computed
  from logits, so that saturated errors have a gradient; mmdetection adds 1e-12 to p, which limits its loss.

  Args:
    logits: of corners.
    heat: targets in [0, 1].
    alpha: exponent of the error.
    gamma: exponent of 1 - heat.
  """
  p = jax.nn.sigmoid(logits)
  is_corner = -((1 - p) ** alpha) * jax.nn.log_sigmoid(logits)
  is_none = -((1 - heat) ** gamma) * p**alpha * jax.nn.log_sigmoid(-logits)
  return jnp.where(heat == 1, is_corner, is_none).sum()
