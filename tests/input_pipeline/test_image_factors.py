import numpy as np
import pytest

import parity_kit
from input_pipeline.class_counts import count_classes
from input_pipeline.image_factors import category_factors, image_factors
from input_pipeline.sampling import BatchSampler
from jaxdet.annotations.ragged import Ragged


def ragged(rows):
  return Ragged.from_lengths(np.concatenate([np.asarray(row, np.int64) for row in rows]), [len(row) for row in rows])


def test_repeat_factors_by_hand():
  # Category 0 is in all four images, 1 in one of them: sqrt(0.5 / 0.25). The second label of an image counts once.
  factors = image_factors(ragged([[0], [0, 1, 1], [0, 0], [0]]), 2, 'repeat_factor', threshold=0.5)
  np.testing.assert_allclose(factors, [1, 2**0.5, 1, 1], rtol=1e-6)


def test_images_without_labels_have_factor_one_and_keep_their_place():
  factors = image_factors(ragged([[], [3], [], [0], [0], []]), 4, 'repeat_factor', threshold=0.5)
  np.testing.assert_allclose(factors, [1, 3**0.5, 1, 1.5**0.5, 1.5**0.5, 1], rtol=1e-6)
  np.testing.assert_array_equal(image_factors(ragged([[], []]), 4, 'repeat_factor', 0.5), [1, 1])


def test_repeat_factors_equal_detectron2():
  _, meta = parity_kit.case('ops/d2_sampling')
  golden = meta['repeat_factors']
  labels = ragged(golden['categories_per_image'])
  for threshold, factors in golden['by_threshold'].items():
    found = image_factors(labels, int(labels.values.max()) + 1, 'repeat_factor', float(threshold))
    np.testing.assert_array_equal(found, np.float32(factors))


def test_instance_repeat_factors_by_hand():
  # Of four images, category 0 is in all and 1 in one; of eight objects, they have six and two.
  # Category 1: sqrt(1/4 * 2/8) = 1/4 and sqrt(0.5 / (1/4)); category 0: sqrt(1 * 6/8) is above the threshold.
  labels = ragged([[0, 0], [0, 1, 1], [0, 0], [0]])
  factors = image_factors(labels, 2, 'instance_repeat_factor', threshold=0.5)
  np.testing.assert_allclose(factors, [1, 2**0.5, 1, 1], rtol=1e-6)
  # A threshold of 1: sqrt(1 / sqrt(3/4)) and sqrt(1 / (1/4)).
  factors = image_factors(labels, 2, 'instance_repeat_factor', threshold=1.0)
  np.testing.assert_allclose(factors, [1.0745699, 2, 1.0745699, 1.0745699], rtol=1e-6)


def test_many_objects_in_few_images_are_repeated_less_by_instances():
  # Both categories are in one image of six; 1 has nine objects there.
  labels = ragged([[0], [1] * 9, [2], [2], [2], [2]])
  by_images = image_factors(labels, 3, 'repeat_factor', 0.5)
  by_both = image_factors(labels, 3, 'instance_repeat_factor', 0.5)
  assert by_images[0] == by_images[1]
  assert by_both[0] > by_images[0] > by_both[1]


def test_class_balanced_factors_by_hand():
  # Four images and two categories that have any: one draw of two is category 1, always the second image, which also
  # has a third of the draws of category 0: 4 * (1/2 + 1/2 * 1/3).
  factors = image_factors(ragged([[0], [0, 2, 2], [0], []]), 3, 'class_balanced', threshold=0.0)
  np.testing.assert_allclose(factors, [2 / 3, 2 + 2 / 3, 2 / 3, 0], rtol=1e-6)


def test_class_balanced_epochs_are_as_long_as_the_split():
  rng = np.random.default_rng(0)
  labels = ragged([rng.geometric(0.2, 5) for _ in range(50)])
  factors = image_factors(labels, 200, 'class_balanced', threshold=0.0)
  np.testing.assert_allclose(factors.sum(), 50, rtol=1e-5)


def test_class_balanced_batches_show_each_class_as_an_independent_draw_would():
  # Draws of a class, then of an image, against the stream of batches.
  rows = [[0], [0], [0], [0], [0, 1], [1, 2], [0, 2], [0, 1]]
  factors = image_factors(ragged(rows), 3, 'class_balanced', threshold=0.0)
  sampler = BatchSampler(factors, np.zeros(8, np.int64), 8, seed=0)
  shown = np.bincount(np.concatenate([sampler.batch(step)[1] for step in range(2000)]), minlength=8) / 16_000

  rng = np.random.default_rng(1)
  images_of = [np.array([image for image, row in enumerate(rows) if c in row]) for c in range(3)]
  draws_of = rng.multinomial(80_000, [1 / 3] * 3)
  drawn = np.concatenate([rng.choice(images_of[c], draws_of[c]) for c in range(3)])
  np.testing.assert_allclose(shown, np.bincount(drawn, minlength=8) / 80_000, atol=0.01)


def test_class_balanced_needs_objects():
  with pytest.raises(ValueError, match='no training image has an object'):
    image_factors(ragged([[], []]), 3, 'class_balanced', 0.0)


def test_uniform_shows_each_image_once():
  np.testing.assert_array_equal(image_factors(ragged([[0], [], [1, 1]]), 2, 'uniform', 0.5), [1, 1, 1])


@pytest.mark.parametrize(
  'sampler, factors',
  [
    ('repeat_factor', [1, 1.2247449, 1]),  # sqrt(0.5 / (1/3))
    ('instance_repeat_factor', [1, 1.5650846, 1]),  # sqrt(0.5 / sqrt(1/3 * 1/8))
    ('class_balanced', [0.5, 1.5, 1]),  # 3 / (2 * 3), 3 / (2 * 1)
    ('uniform', [1, 1, 1]),
  ],
)
def test_a_category_without_images_has_factor_one(sampler, factors):
  counts = count_classes(ragged([[0, 0, 0], [0, 0, 1], [0, 0]]), 3)
  np.testing.assert_allclose(category_factors(counts, sampler, 0.5), factors, rtol=1e-6)
