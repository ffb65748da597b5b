"""Packs detections: valid rows first, padding zeroed."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdet.structures import Detections


def make_detections(
  boxes: Float[Array, 'K 4'],
  scores: Float[Array, 'K'],
  labels: Int[Array, 'K'],
  valid: Bool[Array, 'K'],
  incomplete: Bool[Array, ''],
) -> Detections:
  """Packs the detections of one image, without masks; valid rows keep their order.

  Args:
    boxes: in pixels of the resized image.
    scores, labels: of the boxes.
    valid: False for padding.
    incomplete: pre-NMS top-k dropped candidates that could have been among these.
  """
  front = jnp.argsort(~valid, stable=True)
  boxes, scores, labels, valid = (x[front] for x in (boxes, scores, labels, valid))
  return Detections(
    boxes=jnp.where(valid[:, None], boxes, 0.0),
    scores=jnp.where(valid, scores, 0.0),
    labels=jnp.where(valid, labels, 0),
    valid=valid,
    masks=None,
    incomplete=incomplete,
  )
