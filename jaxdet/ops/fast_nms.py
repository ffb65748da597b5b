"""Fast non-maximum suppression (Bolya et al., 2019), for one image and all classes at once.

A box is dropped if a box of its class with a better score overlaps it, even if that one is dropped too. So all boxes
are decided at once, and a few more are lost than with greedy suppression (ops/nms.py).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.ops.iou import pairwise_iou


class Kept(NamedTuple):
  """The best k survivors, best first; padding is not valid."""

  index: Int[Array, 'k']  # rows of the input
  labels: Int[Array, 'k']
  scores: Float[Array, 'k']
  valid: Bool[Array, 'k']


def fast_nms(
  boxes: Float[Array, 'N 4'],
  scores: Float[Array, 'N K'],
  iou_threshold: float,
  score_threshold: float,
  per_class: int,
  k: int,
) -> Kept:
  """Suppresses within each class, then keeps the k best of all classes; without gradient.

  Args:
    boxes: in pixels, the same for every class.
    scores: of each class; a NaN never survives.
    iou_threshold: a box is dropped if an IoU is above this.
    score_threshold: scores must be above this.
    per_class: the best boxes of a class that take part.
    k: number of boxes kept.
  """
  boxes, scores = lax.stop_gradient((boxes, scores))
  ranked = jnp.where(jnp.isnan(scores), -jnp.inf, scores).T
  ranked, index = lax.top_k(ranked, min(per_class, len(boxes)))
  some = boxes[index]  # [K, T, 4]
  better = jnp.triu(jnp.ones((index.shape[1],) * 2, bool), 1)  # [i, j]: i is better than j
  overlapped = ((jax.vmap(pairwise_iou)(some, some) > iou_threshold) & better).any(1)
  survivors = jnp.where(~overlapped & (ranked > score_threshold), ranked, -jnp.inf).reshape(-1)
  best, position = lax.top_k(survivors, min(k, survivors.size))
  return Kept(index.reshape(-1)[position], position // index.shape[1], best, best > -jnp.inf)
