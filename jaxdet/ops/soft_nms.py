"""Soft non-maximum suppression (Bodla et al., 2017) for one image: lowers scores of overlapping boxes.

The best box is taken, and the scores of boxes that overlap it are multiplied by a factor; then the best remaining box,
and so on. Scores never rise, so boxes come best first. The k best boxes take k rounds over all N boxes, without an
N x N matrix of overlaps.
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
  """1 - IoU from the threshold, else 1."""
  del sigma
  return jnp.where(overlap >= threshold, 1 - overlap, 1.0)


def gaussian(overlap: Float[Array, 'N'], threshold: float, sigma: float) -> Float[Array, 'N']:
  """exp(-IoU**2 / sigma), at any IoU."""
  del threshold
  return jnp.exp(-(overlap**2) / sigma)


DECAYS = {'hard': hard, 'linear': linear, 'gaussian': gaussian}


class Softened(NamedTuple):
  """The k best boxes, best first; padding is not valid and has row 0 and score 0."""

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
  """Lowers the scores of boxes that overlap better ones of their group, and keeps the k best; without gradient.

  Args:
    boxes: in pixels.
    scores: ties keep the order of the input; NaN drops a box.
    valid: boxes to use.
    k: number of boxes to keep.
    decay: key of DECAYS, the factor as a function of the IoU.
    iou, sigma: threshold of 'hard' and 'linear', width of 'gaussian'.
    score_threshold: boxes with a score below this, or 0, before or after decay are dropped.
    groups: boxes of different groups, such as classes, do not affect each other.
  """
  factor = find(DECAYS, decay, 'decay of scores')
  boxes, scores = lax.stop_gradient((boxes, scores))
  groups = jnp.zeros(len(boxes), jnp.int32) if groups is None else groups
  left = jnp.where(valid & (scores >= score_threshold), scores, -jnp.inf)  # scores of the remaining boxes

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
