"""Boxes (x1, y1, x2, y2) in continuous pixels: width is x2 - x1, and a box of zeros has no area."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def area(boxes: Float[Array, '... 4']) -> Float[Array, '...']:
  """Areas in square pixels."""
  return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def clip(boxes: Float[Array, '... 4'], size: Int[Array, '2'] | tuple[int, int]) -> Float[Array, '... 4']:
  """Moves corners outside an image of `size` (height, width) to its border: x to [0, w], y to [0, h]."""
  height, width = size[0], size[1]
  limit = jnp.stack([width, height, width, height]).astype(boxes.dtype)
  return jnp.clip(boxes, 0, limit)


def nonempty(boxes: Float[Array, '... 4'], min_size: float) -> Bool[Array, '...']:
  """True where width and height are both strictly greater than `min_size` pixels."""
  return ((boxes[..., 2:] - boxes[..., :2]) > min_size).all(-1)


def centres(boxes: Float[Array, '... 4']) -> Float[Array, '... 2']:
  """Centres (x, y)."""
  return 0.5 * (boxes[..., :2] + boxes[..., 2:])


def cxcywh_to_xyxy(boxes: Float[Array, '... 4']) -> Float[Array, '... 4']:
  """Converts (cx, cy, width, height) to (x1, y1, x2, y2)."""
  centre, sides = boxes[..., :2], boxes[..., 2:]
  return jnp.concatenate([centre - sides / 2, centre + sides / 2], -1)


def xyxy_to_cxcywh(boxes: Float[Array, '... 4']) -> Float[Array, '... 4']:
  """Converts (x1, y1, x2, y2) to (cx, cy, width, height)."""
  return jnp.concatenate([centres(boxes), boxes[..., 2:] - boxes[..., :2]], -1)
