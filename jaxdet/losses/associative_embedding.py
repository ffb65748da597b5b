"""Associative embedding (Newell et al., 2017): similar embeddings within an object, different ones between objects."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def pull_and_push(
  one: Float[Array, 'N M'], other: Float[Array, 'N M'], valid: Bool[Array, 'N'], margin: float = 1.0
) -> tuple[Float[Array, ''], Float[Array, '']]:
  """Pull and push loss of an image; 0 without objects, and push also with a single one.

  Pull: mean over objects of the squared distances of both corners from their mean m. Push: mean over ordered pairs of
  objects of max(0, margin - |sum over M of (m_i - m_j)|).

  Args:
    one, other: embeddings of the two corners of each object.
    valid: objects to use.
    margin: distance above which objects are not pushed apart.
  """
  count = valid.sum()
  mean = (one + other) / 2
  pulled = ((one - mean) ** 2 + (other - mean) ** 2).sum(-1)
  pull = jnp.where(valid, pulled, 0.0).sum() / jnp.maximum(count, 1)
  distance = jnp.abs((mean[:, None] - mean).sum(-1))
  pairs = valid[:, None] & valid & ~jnp.eye(len(valid), dtype=bool)
  lacking = jnp.where(pairs, jax.nn.relu(margin - distance), 0.0)
  return pull, lacking.sum() / jnp.maximum(count * (count - 1), 1)
