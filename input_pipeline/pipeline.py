"""Runs a function of image numbers on all cores, in order, and batches what it returns.

tf.data gives the threads, the order and the bounded read-ahead; there is no state in it, so a run resumes by
starting at another number. The heavy parts of loading, decoding and resizing, release Python's lock.
"""

import os
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from jaxdet.structures import Batch

# TensorFlow must not take memory of the accelerator that JAX uses.
tf.config.set_visible_devices([], 'GPU')

# The fields of one image of a Batch.
DTYPES = {
  'image': np.uint8,
  'image_size': np.int32,
  'original_size': np.int32,
  'index': np.int32,
  'valid': np.bool_,
  'boxes': np.float32,
  'labels': np.int32,
  'objects_valid': np.bool_,
  'mask_bits': np.uint8,
  'mask_windows': np.float32,
}

BATCHES_AHEAD = 2


def batches(
  load: Callable[[int], Mapping[str, np.ndarray]], first: int, last: int | None, batch_size: int
) -> Iterator[Batch]:
  """Batches of load(first), load(first + 1), ... up to but without `last`; endless for None.

  Args:
    load: the fields of one image of a Batch, all shapes alike within a batch. Called from several threads.
    batch_size: images a batch; last - first is a multiple of it.

  Raises:
    Whatever `load` raises, when the iterator reaches the image it was raised for.
  """
  workers = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
  errors = {}

  def load_fields(number: np.ndarray) -> list[np.ndarray]:
    try:
      image = load(int(number))
    except Exception as error:
      errors[int(number)] = error
      raise
    return [np.asarray(image[name], dtype) for name, dtype in DTYPES.items()]

  def graph(number):
    fields = tf.numpy_function(load_fields, [number], list(DTYPES.values()), stateful=False)
    return dict(zip(DTYPES, fields, strict=True))

  options = tf.data.Options()
  options.deterministic = True
  options.threading.private_threadpool_size = workers
  dataset = tf.data.Dataset.range(first, np.iinfo(np.int64).max if last is None else last)
  dataset = dataset.map(graph, num_parallel_calls=workers)
  dataset = dataset.batch(batch_size, drop_remainder=True).prefetch(BATCHES_AHEAD).with_options(options)
  try:
    for fields in dataset.as_numpy_iterator():
      yield Batch(**fields)
  except tf.errors.OpError as error:
    if not errors:
      raise
    # TensorFlow passes on the text alone, with a traceback in it.
    raise errors[min(errors)] from error
