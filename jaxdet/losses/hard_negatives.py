"""Hard negative mining (Liu et al., 2016): of the negatives of an image only those with the largest losses count."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdet.ops.per_image import per_image


def hard_negatives(
  losses: Float[Array, 'B N'], positive: Bool[Array, 'B N'], negative: Bool[Array, 'B N'], ratio: int
) -> Bool[Array, 'B N']:
  """The hardest negatives of each image, `ratio` for each positive; all of them where there is no positive.

  Args:
    losses: of every row, at least 0.
    positive, negative: rows that are so; none is both.
    ratio: negatives a positive.
  """

  def one_image(losses, positive, negative):
    count = jnp.where(positive.any(), ratio * positive.sum(), losses.shape[0])
    hardest_first = jnp.argsort(jnp.where(negative, -losses, jnp.inf))
    chosen = jnp.arange(losses.shape[0]) < count
    return negative & jnp.zeros_like(negative).at[hardest_first].set(chosen, unique_indices=True)

  return per_image(one_image)(*jax.lax.stop_gradient((losses, positive, negative)))
