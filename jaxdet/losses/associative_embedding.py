"""Associative embedding (Newell et al., 2017): corners of one object are alike, those of two objects are not."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def pull_and_push(
  one: Float[Array, 'N M'], other: Float[Array, 'N M'], valid: Bool[Array, 'N'], margin: float = 1.0
) -> tuple[Float[Array, ''], Float[Array, '']]:
  """The two losses of an image; 0 without objects, and without a second object nothing is pushed.

  Pull: the mean over objects of the squared distances of the two corners from their mean. Push: the mean over ordered
  pairs of objects of what their means' distance, added over M and then taken absolutely, lacks to the margin.

  Args:
    one, other: embeddings of the two corners of each object.
    valid: objects that count.
    margin: from which on objects are far enough apart.
  """
  count = valid.sum()
  mean = (one + other) / 2
  pulled = ((one - mean) ** 2 + (other - mean) ** 2).sum(-1)
  pull = jnp.where(valid, pulled, 0.0).sum() / jnp.maximum(count, 1)
  distance = jnp.abs((mean[:, None] - mean).sum(-1))
  pairs = valid[:, None] & valid & ~jnp.eye(len(valid), dtype=bool)
  lacking = jnp.where(pairs, jax.nn.relu(margin - distance), 0.0)
  return pull, lacking.sum() / jnp.maximum(count * (count - 1), 1)
