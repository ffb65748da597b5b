"""Loads images on all cores and yields them as batches, in order, a few batches ahead.

There is no state to save: a run resumes by starting at another step. Threads suffice, since decoding and
resizing, four fifths of the work, let go of Python's lock. Each image is written straight to its place in the
batch. tf.data, driving the same functions, copied every image twice more, took a quarter more processor time and
over twice the memory, and hung at exit: its iterator waits for Python functions, and they for Python's lock.
"""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxdet.structures import Batch, InstanceMasks, Objects

# Of a batch in the making: by name, those of objects and their masks behind 'objects/' and 'masks/'.
Fields = dict[str, np.ndarray]

BATCHES_AHEAD = 2


def batches(
  allocate: Callable[[int], Fields], fill: Callable[[int, int, Fields], None], steps: Iterable[int]
) -> Iterator[Batch]:
  """The batches of these steps.

  Args:
    allocate: gives a step's fields, not filled yet; [B, ...] with the same B at each step.
    fill: (step, row, fields) writes image `row` into the fields of `step`; called from several threads.
    steps: their numbers, endless or not.

  Raises:
    Whatever `fill` raises, when its batch is due.
  """
  workers = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
  under_way = collections.deque()
  pool = ThreadPoolExecutor(workers, thread_name_prefix='images')
  try:
    for step in steps:
      fields = allocate(step)
      under_way.append((fields, [pool.submit(fill, step, row, fields) for row in range(len(fields['index']))]))
      if len(under_way) > BATCHES_AHEAD:
        yield _finish(*under_way.popleft())
    while under_way:
      yield _finish(*under_way.popleft())
  finally:
    pool.shutdown(wait=False, cancel_futures=True)


def _finish(fields: Fields, tasks: list) -> Batch:
  for task in tasks:
    task.result()
  masks = part(fields, 'masks/')
  objects = Objects(**part(fields, 'objects/'), masks=InstanceMasks(**masks) if masks else None)
  return Batch(**{name: field for name, field in fields.items() if '/' not in name}, objects=objects)


def part(fields: Fields, prefix: str) -> Fields:
  """The fields whose name begins with the prefix, without it."""
  return {name.removeprefix(prefix): field for name, field in fields.items() if name.startswith(prefix)}
