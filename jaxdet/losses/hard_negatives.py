"""Hard negative mining (Liu et al., 2016): of the many rows without an object those of the largest loss count."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.ops.per_image import per_image


def hardest(losses: Float[Array, 'N'], among: Bool[Array, 'N'], count: Int[Array, '']) -> Bool[Array, 'N']:
  """True for the `count` rows of the largest loss among some, or for all of these where they are fewer; no gradient.

  Args:
    losses: of each row, at least 0.
    among: the rows that may be taken.
    count: how many are, at most.
  """
  priority = jnp.where(among, lax.stop_gradient(losses), -jnp.inf)
  order = jnp.argsort(priority, descending=True)
  rank = jnp.zeros(priority.shape, int).at[order].set(jnp.arange(priority.size))
  return (rank < count) & among


def hard_negatives(
  losses: Float[Array, 'B N'], positive: Bool[Array, 'B N'], negative: Bool[Array, 'B N'], ratio: int
) -> Bool[Array, 'B N']:
  """The hardest negatives of each image, `ratio` for each positive; all of them where there is no positive (YOLACT).

  Args:
    losses: of every row, at least 0.
    positive, negative: rows that are so; none is both.
    ratio: negatives a positive.
  """

  def one_image(losses, positive, negative):
    count = jnp.where(positive.any(), ratio * positive.sum(), losses.shape[0])
    return hardest(losses, negative, count)

  return per_image(one_image)(lax.stop_gradient(losses), positive, negative)
