"""Hard negative mining, by hand."""

import jax
import numpy as np
import pytest

from jaxdet.losses.hard_negatives import hard_negatives, hardest

LOSSES = np.array([0.3, 0.9, 0.1, 0.9, 0.5, 2.0], np.float32)
AMONG = np.array([True, True, True, True, True, False])


@pytest.mark.parametrize(
  'count, rows', [(0, []), (1, [1]), (2, [1, 3]), (3, [1, 3, 4]), (5, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_the_largest_losses_among_some(count, rows):
  assert np.flatnonzero(jax.jit(hardest)(LOSSES, AMONG, count)).tolist() == rows


def test_as_many_as_asked_for_also_of_equal_losses():
  assert hardest(np.zeros(6, np.float32), AMONG, 2).sum() == 2


OF_IMAGE = np.float32([[5, 1, 9, 2, 7, 3, 0, 4]])
POSITIVE = np.array([[1, 0, 0, 0, 0, 0, 0, 0]], bool)
NEGATIVE = np.array([[0, 1, 0, 1, 1, 1, 1, 1]], bool)  # the third is neither


def test_the_hardest_three_for_every_positive():
  assert np.flatnonzero(hard_negatives(OF_IMAGE, POSITIVE, NEGATIVE, 3)[0]).tolist() == [4, 5, 7]


def test_all_where_there_are_too_few_or_no_positives():
  every = np.flatnonzero(NEGATIVE[0]).tolist()
  assert np.flatnonzero(hard_negatives(OF_IMAGE, POSITIVE, NEGATIVE, 6)[0]).tolist() == every
  assert np.flatnonzero(hard_negatives(OF_IMAGE, np.zeros_like(POSITIVE), NEGATIVE, 3)[0]).tolist() == every


def test_every_image_has_its_own():
  two = [np.concatenate([x, x[:, ::-1]]) for x in (OF_IMAGE, POSITIVE, NEGATIVE)]
  found = np.asarray(hard_negatives(*two, 3))
  np.testing.assert_array_equal(found[1], found[0, ::-1])
