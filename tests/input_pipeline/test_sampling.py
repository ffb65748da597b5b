import numpy as np
import pytest

from input_pipeline.sampling import BatchSampler, orientations, random_stream


def sampler(factors, canvas_of_image=None, batch_size=4, seed=0):
  factors = np.asarray(factors, np.float32)
  canvas_of_image = np.zeros(len(factors), np.int64) if canvas_of_image is None else np.asarray(canvas_of_image)
  return BatchSampler(factors, canvas_of_image, batch_size, seed)


def stream(sampler, steps):
  return np.concatenate([sampler.batch(step)[1] for step in range(steps)])


def test_random_streams_are_told_apart_by_each_of_their_numbers():
  draws = {random_stream(*key).random() for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))}
  assert len(draws) == 4
  assert random_stream(3, 1, 7).random() == random_stream(3, 1, 7).random()


def test_without_factors_an_epoch_holds_each_image_once():
  images = stream(sampler(np.ones(10), batch_size=4), steps=5)
  assert sorted(images[:10]) == list(range(10))
  assert sorted(images[10:]) == list(range(10))
  assert not np.array_equal(images[:10], images[10:])


def test_images_are_repeated_as_often_as_their_factors_say():
  factors = np.array([1.0, 1.25, 1.5, 2.0, 3.75], np.float32)
  epochs = 2000
  images = stream(sampler(factors, batch_size=5), steps=int(epochs * factors.sum() / 5))
  counts = np.bincount(images) / epochs
  np.testing.assert_allclose(counts, factors, atol=0.06)  # 5 standard deviations of a coin thrown 2000 times
  np.testing.assert_allclose(counts[[0, 3]] / counts[0], [1, 2], rtol=2e-3)


def test_factors_below_one_leave_images_out_of_epochs():
  factors = np.array([0.0, 0.125, 0.5, 1.375, 2.0], np.float32)
  images = stream(sampler(factors, batch_size=8), steps=1000)  # 2000 epochs of four images, in expectation
  counts = np.bincount(images, minlength=5) / 2000
  np.testing.assert_allclose(counts, factors, atol=0.06)
  assert counts[0] == 0


def test_epochs_may_be_empty():
  rare = sampler([0.05, 0.0, 0.05], batch_size=2)
  batches = [rare.batch(step)[1] for step in range(50)]
  assert {0, 2} == set(np.concatenate(batches))
  again = sampler([0.05, 0.0, 0.05], batch_size=2)
  for step in reversed(range(50)):
    np.testing.assert_array_equal(again.batch(step)[1], batches[step])


def test_a_step_needs_no_steps_before_it():
  factors = np.random.default_rng(0).uniform(0, 3, 23)
  canvases = np.arange(23) % 3 == 0
  one, other = (sampler(factors, canvases.astype(int), batch_size=8, seed=5) for _ in range(2))
  forward = [one.batch(step) for step in range(40)]
  for step in reversed(range(40)):
    canvas, images = other.batch(step)
    assert canvas == forward[step][0]
    np.testing.assert_array_equal(images, forward[step][1])


def test_seeds_differ():
  assert not np.array_equal(stream(sampler(np.ones(50), seed=0), 10), stream(sampler(np.ones(50), seed=1), 10))


def test_a_batch_holds_one_orientation():
  sizes = np.array([[480, 640], [640, 480], [500, 500]] * 7)
  canvases = orientations(sizes, canvases=2)
  np.testing.assert_array_equal(canvases[:3], [0, 1, 1])  # as upstream: only wider than high is wide
  batches = [sampler(np.ones(21), canvases, batch_size=4, seed=2).batch(step) for step in range(40)]
  assert {canvas for canvas, _ in batches} == {0, 1}
  for canvas, images in batches:
    assert (canvases[images] == canvas).all()


def test_grouping_drops_nothing():
  # Two tall images in an epoch of seven: a batch of four takes two epochs to fill.
  canvases = np.array([0, 0, 1, 0, 1, 0, 0])
  grouped = sampler(np.ones(7), canvases, batch_size=4)
  batches = [grouped.batch(step) for step in range(7 * 5)]  # 20 epochs
  wide = np.concatenate([images for canvas, images in batches if canvas == 0])
  tall = np.concatenate([images for canvas, images in batches if canvas == 1])
  assert len(wide) == 100 and len(tall) == 40
  assert (np.bincount(wide, minlength=7)[canvases == 0] == 20).all()
  assert (np.bincount(tall, minlength=7)[canvases == 1] == 20).all()


def test_grouping_equals_buckets_over_the_stream():
  rng = np.random.default_rng(1)
  factors, canvases = rng.uniform(1, 2, 30), rng.integers(0, 2, 30)
  plain = sampler(factors, batch_size=1, seed=9)  # the same stream without groups
  buckets, expected = ([], []), []
  for image in stream(plain, 400):
    bucket = buckets[canvases[image]]
    bucket.append(image)
    if len(bucket) == 8:
      expected.append((canvases[image], list(bucket)))
      bucket.clear()
  grouped = sampler(factors, canvases, batch_size=8, seed=9)
  assert len(expected) > 40
  for step, (canvas, images) in enumerate(expected):
    assert grouped.batch(step)[0] == canvas
    assert grouped.batch(step)[1].tolist() == images


def test_where_a_crop_decides_the_canvas_is_drawn_by_its_probability():
  second = np.array([0.0, 0.25, 0.5, 1.0])
  shown = sampler(np.ones(4), second, batch_size=4, seed=3)
  batches = [shown.batch(step) for step in range(2000)]
  counts = np.stack(
    [np.bincount(np.concatenate([images for c, images in batches if c == k]), minlength=4) for k in (0, 1)]
  )
  np.testing.assert_allclose(counts.sum(axis=0), 2000, atol=3)  # an epoch shows each once, on one canvas or the other
  np.testing.assert_allclose(counts[1] / 2000, second, atol=0.05)
  again = sampler(np.ones(4), second, batch_size=4, seed=3)
  for step in (1999, 3, 700):
    assert again.batch(step)[0] == batches[step][0]
    np.testing.assert_array_equal(again.batch(step)[1], batches[step][1])


def test_one_canvas_takes_every_shape():
  assert not orientations(np.array([[480, 640], [640, 480]]), canvases=1).any()


def test_no_images_is_an_error():
  with pytest.raises(ValueError, match='no images'):
    sampler([])
  with pytest.raises(ValueError, match='none that the sampler draws'):
    sampler([0.0, 0.0])
