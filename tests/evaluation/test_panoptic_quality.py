"""Panoptic quality: by hand, and against a plain count of masks on random segments."""

import numpy as np
import pytest

from jaxdet.annotations.panoptic import PanopticCategory, PanopticSegment
from jaxdet.evaluation.panoptic import count_matches, panoptic_quality, quality_by_category

CATEGORIES = (
  PanopticCategory(1, 'person', True),
  PanopticCategory(3, 'car', True),
  PanopticCategory(92, 'sky', False),
  PanopticCategory(184, 'grass', False),
)
IS_THING = np.array([True, True, False, False])


def segments(ids, categories, crowds=()):
  return [PanopticSegment(i, c, i in crowds, int((ids == i).sum())) for i, c in categories.items()]


def strips(*lengths):
  """A map of one row: so many pixels of each id."""
  return np.concatenate([np.full(n, id) for id, n in lengths])[None]


def counted(truth, found, truth_categories, found_categories, crowds=()):
  return count_matches(
    truth, segments(truth, truth_categories, crowds), found, segments(found, found_categories), CATEGORIES
  )


def test_a_segment_is_found_by_more_than_half():
  # Of 10 and 8 pixels 6 are shared: 6 / 12 is not more than half; 7 of 10 and 8 are 7 / 11.
  truth = strips((1, 10), (2, 90))
  not_found = counted(truth, strips((0, 4), (5, 8), (6, 88)), {1: 3, 2: 92}, {5: 3, 6: 92})
  np.testing.assert_array_equal(not_found[1], [0, 0, 1, 1])
  found = counted(truth, strips((0, 3), (5, 8), (6, 89)), {1: 3, 2: 92}, {5: 3, 6: 92})
  np.testing.assert_allclose(found[1], [7 / 11, 1, 0, 0])
  np.testing.assert_allclose(found[2], [89 / 90, 1, 0, 0])


def test_pixels_of_nobody_do_not_count_for_a_prediction():
  truth, found = strips((1, 10), (0, 30)), strips((5, 40))
  np.testing.assert_allclose(counted(truth, found, {1: 1}, {5: 1})[0], [1, 1, 0, 0])
  # Of another category it is no mistake, as more than half of it lies on nobody's pixels.
  np.testing.assert_array_equal(counted(truth, found, {1: 1}, {5: 3})[:2], [[0, 0, 0, 1], [0, 0, 0, 0]])


def test_a_crowd_is_neither_found_nor_missed_and_forgives_its_category_alone():
  truth, found = strips((1, 20), (2, 20)), strips((5, 20), (6, 20))
  in_crowd = counted(truth, found, {1: 1, 2: 92}, {5: 1, 6: 92}, crowds=(1,))
  np.testing.assert_array_equal(in_crowd[0], [0, 0, 0, 0])
  other = counted(truth, found, {1: 1, 2: 92}, {5: 3, 6: 92}, crowds=(1,))
  np.testing.assert_array_equal(other[1], [0, 0, 1, 0])


def test_means_are_over_categories_that_were_annotated_or_predicted():
  counts = np.array([[1.5, 2, 1, 1], [0, 0, 0, 0], [0, 0, 0, 2], [0.9, 1, 0, 0]])
  metrics = panoptic_quality(counts, IS_THING)
  assert metrics == pytest.approx(
    {
      **{'PQ': (0.5 + 0.0 + 0.9) / 3, 'SQ': (0.75 + 0.0 + 0.9) / 3, 'RQ': (2 / 3 + 0.0 + 1.0) / 3},
      **{'PQ_th': 0.5, 'SQ_th': 0.75, 'RQ_th': 2 / 3},
      **{'PQ_st': 0.45, 'SQ_st': 0.45, 'RQ_st': 0.5},
    }
  )
  assert panoptic_quality(np.zeros((4, 4)), IS_THING)['PQ'] is None
  np.testing.assert_allclose(quality_by_category(counts)['PQ'], [0.5, 0, 0, 0.9])


def test_a_prediction_that_contradicts_itself_is_refused():
  ids = strips((1, 4), (2, 4))
  truth = segments(ids, {1: 1, 2: 92})
  with pytest.raises(ValueError, match='segment 2 is in the map of a prediction and not in its list'):
    count_matches(ids, truth, ids, truth[:1], CATEGORIES)
  with pytest.raises(ValueError, match='segment 7 is in the list of a prediction and not in its map'):
    count_matches(ids, truth, ids, [*truth, PanopticSegment(7, 1)], CATEGORIES)
  with pytest.raises(ValueError, match='segment 2 of a prediction has category 5, not in the table'):
    count_matches(ids, truth, ids, [truth[0], PanopticSegment(2, 5)], CATEGORIES)
  with pytest.raises(ValueError, match=r'of size \(1, 4\), the ground truth of \(1, 8\)'):
    count_matches(ids, truth, ids[:, :4], truth[:1], CATEGORIES)


def random_image(rng, noise: float):
  """Blocks of 4 x 4 pixels of up to eight segments and of nobody, and the same map with other blocks here and there."""
  blocks = rng.integers(0, 9, (6, 8))
  other = np.where(rng.random(blocks.shape) < noise, rng.integers(0, 9, blocks.shape), blocks)
  truth, found = (np.kron(b, np.ones((4, 4), int)) * 70_000 % (256**3 - 1) for b in (blocks, other))
  categories = {int(i): int(rng.choice([1, 3, 92, 184])) for i in np.unique(truth) if i}
  crowds = [i for i, category in categories.items() if category in (1, 3) and rng.random() < 0.3]
  predicted = {int(i): categories.get(int(i), 1) if rng.random() < 0.8 else 3 for i in np.unique(found) if i}
  return truth, found, categories, predicted, crowds


def plain_counts(truth, found, categories, predicted, crowds):
  """The definition, mask by mask."""
  counts = np.zeros((4, 4))
  rows = [category.id for category in CATEGORIES].index
  hit = set()
  for i, category in categories.items():
    if i in crowds:
      continue
    best = 0.0
    for j, other in predicted.items():
      mask = (found == j) & (truth != 0)
      iou = (mask & (truth == i)).sum() / (mask | (truth == i)).sum()
      if other == category and iou > 0.5:
        best = iou
        hit.add(j)
    counts[rows(category)] += [best, best > 0, 0, best == 0]
  for j, category in predicted.items():
    forgiven = truth == 0
    for i in crowds:
      if categories[i] == category:
        last = max((k for k in crowds if categories[k] == category), key=list(categories).index)
        forgiven = (truth == 0) | (truth == last)
    mask = found == j
    if j not in hit and (mask & forgiven).sum() * 2 <= mask.sum():
      counts[rows(category), 2] += 1
  return counts


@pytest.mark.parametrize('noise', [0.1, 0.4, 0.8])
def test_random_maps_are_counted_as_by_the_definition(noise):
  rng = np.random.default_rng(0)
  total = np.zeros((4, 4))
  for _ in range(20):
    image = random_image(rng, noise)
    counts = counted(*image)
    np.testing.assert_allclose(counts, plain_counts(*image), atol=1e-12)
    total += counts
  assert (total[:, 1:].sum(0) > 0).all()  # found, wrong and missed ones were among them
