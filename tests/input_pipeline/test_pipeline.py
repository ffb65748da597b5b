import itertools
import threading
import time
import tracemalloc

import numpy as np
import pytest

from input_pipeline.fields.boxes import Boxes
from input_pipeline.fields.masks import Masks
from input_pipeline.fields.table import Fields
from input_pipeline.loading import empty_columns
from input_pipeline.pipeline import BATCHES_AHEAD, batches

FIELDS = Fields((Boxes(), Masks(8, max_vertices=0)), (), max_objects=2)


def allocate(step, batch_size=4):
  return empty_columns(batch_size, (8, 8 + step % 2), FIELDS)


def fill(step, row, columns):
  time.sleep(0.002 * ((step * 4 + row) * 7 % 5))  # images are ready out of order
  columns['index'][row] = step * 4 + row


def test_batches_come_in_order_whenever_their_images_are_ready():
  found = list(batches(allocate, fill, range(3, 9)))
  np.testing.assert_array_equal(np.concatenate([batch.index for batch in found]), np.arange(12, 36))
  assert [batch.image.shape for batch in found[:2]] == [(4, 8, 9, 3), (4, 8, 8, 3)]


def test_rows_that_are_not_filled_are_harmless():
  (batch,) = batches(allocate, lambda step, row, columns: None, range(1))
  assert not batch.valid.any() and not batch.objects.valid.any()
  np.testing.assert_array_equal(batch.image_size, batch.original_size)
  assert (batch.image_size > 0).all()


def test_reading_ahead_is_bounded():
  started = []
  found = batches(allocate, lambda step, row, columns: started.append(step), itertools.count())
  for taken in range(1, 6):
    next(found)
    time.sleep(0.05)
    assert max(started) == taken - 1 + BATCHES_AHEAD
  found.close()


def test_memory_does_not_grow_from_batch_to_batch():
  def allocate_larger(step):
    return empty_columns(4, (128, 128), FIELDS)

  found = batches(allocate_larger, lambda step, row, columns: None, itertools.count())
  tracemalloc.start()
  try:
    held = []
    for _ in range(4):
      for _ in range(10):
        next(found)
      held.append(tracemalloc.get_traced_memory()[0])
  finally:
    tracemalloc.stop()
    found.close()
  one_batch = allocate_larger(0)['image'].nbytes
  assert max(held) - held[0] < 2 * one_batch, held


def test_errors_are_raised_where_they_belong():
  def fill_or_fail(step, row, columns):
    if (step, row) == (2, 1):
      raise ValueError("cannot decode image 'x.jpg'")

  found = batches(allocate, fill_or_fail, itertools.count())
  next(found), next(found)
  with pytest.raises(ValueError, match='x.jpg'):
    next(found)


def test_leaving_early_ends_the_threads():
  def names():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith('images')]

  found = batches(allocate, fill, itertools.count())
  next(found)
  assert names()
  del found
  for _ in range(100):
    if not names():
      return
    time.sleep(0.02)
  raise AssertionError(f'still running: {names()}')
