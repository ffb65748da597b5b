"""Soft non-maximum suppression (Bodla et al., 2017), for one image: overlapping boxes lose score instead of all.

The best box is taken, and the scores of what it overlaps are multiplied by a factor; then the best of what is left, and
so on. Scores never rise, so the boxes come best first, and the k best cost k rounds over all N boxes: no matrix of
overlaps is made.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.ops.iou import iou as overlaps
from jaxdet.parts import find


def hard(overlap: Float[Array, 'N'], threshold: float, sigma: float) -> Float[Array, 'N']:
  """0 above the threshold, else 1: ordinary suppression."""
  del sigma
  return jnp.where(overlap > threshold, 0.0, 1.0)


def linear(overlap: Float[Array, 'N'], threshold: float, sigma: float) -> Float[Array, 'N']:
  """1 - IoU from the threshold on, else 1."""
  del sigma
  return jnp.where(overlap >= threshold, 1 - overlap, 1.0)


def gaussian(overlap: Float[Array, 'N'], threshold: float, sigma: float) -> Float[Array, 'N']:
  """exp(-IoU**2 / sigma), whatever the IoU."""
  del threshold
  return jnp.exp(-(overlap**2) / sigma)


DECAYS = {'hard': hard, 'linear': linear, 'gaussian': gaussian}


class Softened(NamedTuple):
  """The k best boxes, best first; rows that hold none are not valid, and have row 0 and score 0."""

  index: Int[Array, 'k']  # rows of the input
  scores: Float[Array, 'k']  # lowered
  valid: Bool[Array, 'k']


def soft_nms(
  boxes: Float[Array, 'N 4'],
  scores: Float[Array, 'N'],
  valid: Bool[Array, 'N'],
  k: int,
  *,
  decay: str,
  iou: float,
  sigma: float,
  score_threshold: float,
  groups: Int[Array, 'N'] | None = None,
) -> Softened:
  """Lowers the scores of boxes that better ones of their group overlap, and keeps the best; without gradient.

  Args:
    boxes: in pixels.
    scores: of which equal ones keep the order of the input; one that is not a number counts as none.
    valid: boxes that take part.
    k: that are kept.
    decay: a name of DECAYS, the factor by the IoU.
    iou, sigma: of 'hard' and 'linear', and of 'gaussian'.
    score_threshold: boxes whose score is or falls below this, or to 0, are dropped.
    groups: boxes of different groups, such as classes, leave each other alone.
  """
  factor = find(DECAYS, decay, 'decay of scores')
  boxes, scores = lax.stop_gradient((boxes, scores))
  groups = jnp.zeros(len(boxes), jnp.int32) if groups is None else groups
  left = jnp.where(valid & (scores >= score_threshold), scores, -jnp.inf)  # scores of what is still to be taken

  def take_best(left: Float[Array, 'N'], _) -> tuple[Float[Array, 'N'], tuple]:
    best = left.argmax()
    score = left[best]
    factors = jnp.where(groups == groups[best], factor(overlaps(boxes, boxes[best]), iou, sigma), 1.0)
    lowered = left * factors
    lowered = jnp.where((factors > 0) & (lowered >= score_threshold), lowered, -jnp.inf).at[best].set(-jnp.inf)
    found = score > -jnp.inf
    return lowered, (jnp.where(found, best, 0), jnp.where(found, score, 0.0), found)

  _, kept = lax.scan(take_best, left, length=min(k, len(boxes)))
  return Softened(*kept)
