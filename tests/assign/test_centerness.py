"""Centerness by hand."""

import jax.numpy as jnp
import pytest

from jaxdet.assign.centerness import centerness


@pytest.mark.parametrize(
  'sides, expected',
  [
    ([5, 3, 5, 3], 1.0),
    ([2, 3, 8, 3], 0.5),  # sqrt(1/4)
    ([2, 1, 8, 9], 1 / 6),  # sqrt(1/4 * 1/9)
    ([0, 3, 5, 3], 0.0),
    ([-1, 3, 5, 3], 0.0),
    ([0, 0, 0, 0], 0.0),
  ],
)
def test_it_falls_from_the_middle_to_the_border(sides, expected):
  assert centerness(jnp.array(sides, jnp.float32)) == pytest.approx(expected)
