"""Loads images on all cores and yields them as batches, in order, a few batches ahead.

There is no state to save: a run resumes by starting at another step. Threads suffice, since decoding and resizing,
four fifths of the work, release Python's lock. Each image is written directly into the batch. tf.data with the same
functions copied every image twice more, took a quarter more CPU time and over twice the memory, and hung at exit: its
iterator waits for Python functions, which wait for Python's lock.
"""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from input_pipeline.fields.columns import Columns, to_batch
from jaxdet.structures import Batch

BATCHES_AHEAD = 2


def batches(
  allocate: Callable[[int], Columns], fill: Callable[[int, int, Columns], None], steps: Iterable[int]
) -> Iterator[Batch]:
  """Yields the batches of these steps.

  Args:
    allocate: makes a step's empty columns [B, ...], with the same B at each step.
    fill: (step, row, columns) writes image `row` into the columns of `step`; called from several threads.
    steps: step numbers, finite or endless.

  Raises:
    Whatever `fill` raises, when its batch is due.
  """
  workers = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
  under_way = collections.deque()
  pool = ThreadPoolExecutor(workers, thread_name_prefix='images')
  try:
    for step in steps:
      columns = allocate(step)
      under_way.append((columns, [pool.submit(fill, step, row, columns) for row in range(len(columns['index']))]))
      if len(under_way) > BATCHES_AHEAD:
        yield _finish(*under_way.popleft())
    while under_way:
      yield _finish(*under_way.popleft())
  finally:
    pool.shutdown(wait=False, cancel_futures=True)


def _finish(columns: Columns, tasks: list) -> Batch:
  for task in tasks:
    task.result()
  return to_batch(columns)
