"""Hard negative mining, by hand."""

import jax
import numpy as np
import pytest

from jaxdet.losses.hard_negatives import hardest

LOSSES = np.array([0.3, 0.9, 0.1, 0.9, 0.5, 2.0], np.float32)
AMONG = np.array([True, True, True, True, True, False])


@pytest.mark.parametrize(
  'count, rows', [(0, []), (1, [1]), (2, [1, 3]), (3, [1, 3, 4]), (5, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_the_largest_losses_among_some(count, rows):
  assert np.flatnonzero(jax.jit(hardest)(LOSSES, AMONG, count)).tolist() == rows


def test_as_many_as_asked_for_also_of_equal_losses():
  assert hardest(np.zeros(6, np.float32), AMONG, 2).sum() == 2
