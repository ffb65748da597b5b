"""Hard negative mining (Liu et al., 2016): of the many rows without an object those of the largest loss count."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int


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
