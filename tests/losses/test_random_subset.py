"""How many rows are drawn, which, and that each comes as often."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.random_subset import random_subset

AMONG = jnp.array([[True, False, True], [True, True, False]])


@pytest.mark.parametrize('count, drawn', [(0, 0), (3, 3), (4, 4), (9, 4)])
def test_so_many_of_the_mask(count, drawn):
  made = random_subset(jax.random.key(count), AMONG, jnp.asarray(count))
  assert made.sum() == drawn and not (made & ~AMONG).any()


def test_each_row_is_drawn_as_often():
  keys = jax.random.split(jax.random.key(0), 2000)
  made = jax.vmap(lambda key: random_subset(key, AMONG, jnp.asarray(1)))(keys)
  np.testing.assert_allclose(made.mean(0), AMONG / 4, atol=0.04)
