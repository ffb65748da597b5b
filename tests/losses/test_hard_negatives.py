"""Which negatives count."""

import numpy as np

from jaxdet.losses.hard_negatives import hard_negatives

LOSSES = np.float32([[5, 1, 9, 2, 7, 3, 0, 4]])
POSITIVE = np.array([[1, 0, 0, 0, 0, 0, 0, 0]], bool)
NEGATIVE = np.array([[0, 1, 0, 1, 1, 1, 1, 1]], bool)  # the third is neither


def test_the_hardest_three_for_every_positive():
  assert np.flatnonzero(hard_negatives(LOSSES, POSITIVE, NEGATIVE, 3)[0]).tolist() == [4, 5, 7]


def test_all_where_there_are_too_few_or_no_positives():
  every = np.flatnonzero(NEGATIVE[0]).tolist()
  assert np.flatnonzero(hard_negatives(LOSSES, POSITIVE, NEGATIVE, 6)[0]).tolist() == every
  assert np.flatnonzero(hard_negatives(LOSSES, np.zeros_like(POSITIVE), NEGATIVE, 3)[0]).tolist() == every


def test_every_image_has_its_own():
  two = [np.concatenate([x, x[:, ::-1]]) for x in (LOSSES, POSITIVE, NEGATIVE)]
  found = np.asarray(hard_negatives(*two, 3))
  np.testing.assert_array_equal(found[1], found[0, ::-1])
