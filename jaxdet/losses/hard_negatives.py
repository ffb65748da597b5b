"""Hard negative mining (Liu et al., 2016): selects the negatives with the largest loss."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.ops.per_image import per_image


def hardest(losses: Float[Array, 'N'], among: Bool[Array, 'N'], count: Int[Array, '']) -> Bool[Array, 'N']:
  """True for the `count` rows of `among` with the largest loss, or for all of them if fewer; no gradient.

  Args:
    losses: of each row, at least 0.
    among: rows that may be selected.
    count: largest number selected.
  """
  priority = jnp.where(among, lax.stop_gradient(losses), -jnp.inf)
  order = jnp.argsort(priority, descending=True)
  rank = jnp.zeros(priority.shape, int).at[order].set(jnp.arange(priority.size))
  return (rank < count) & among


def hard_negatives(
  losses: Float[Array, 'B N'], positive: Bool[Array, 'B N'], negative: Bool[Array, 'B N'], ratio: int
) -> Bool[Array, 'B N']:
  """Hardest negatives of each image, `ratio` per positive; all negatives if there is no positive (YOLACT).

  Args:
    losses: of every row, at least 0.
    positive, negative: disjoint masks of the rows.
    ratio: negatives a positive.
  """

  def one_image(losses, positive, negative):
    count = jnp.where(positive.any(), ratio * positive.sum(), losses.shape[0])
    return hardest(losses, negative, count)

  return per_image(one_image)(lax.stop_gradient(losses), positive, negative)
