"""Draws a random subset of a mask's rows without replacement, at a static shape."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def random_subset(key: Array, among: Bool[Array, '*N'], count: Int[Array, '']) -> Bool[Array, '*N']:
  """True for `count` random rows of `among`, or for all of them if fewer."""
  priority = jnp.where(among, jax.random.uniform(key, among.shape), jnp.inf).ravel()
  rank = jnp.zeros(priority.shape, int).at[jnp.argsort(priority)].set(jnp.arange(priority.size))
  return (rank.reshape(among.shape) < count) & among
