"""Writes and reads results files in COCO's and LVIS's format.

Each process appends lines of JSON for every image; then the first process joins these files line by line. Pasting and
encoding masks takes longer than a detector on an accelerator, so worker processes do it in parallel; only the few
images in progress are held in memory.
"""

import collections
import contextlib
import itertools
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TextIO

import numpy as np

from jaxdet.annotations.json_stream import json_list
from jaxdet.annotations.text_file import open_text
from jaxdet.evaluation.worker_pool import WorkerPool
from jaxdet.structures import Batch, Detections, ImageMasks

RECORD_LINE = re.compile(r'{"image_id": ?(\d+).*},?\n')
PART = 2**16  # characters of a results file parsed at once
LIST_ENDS = ',\n]'


class ResultsWriter(contextlib.AbstractContextManager):
  """Writes results to `path`: for each image {"image_id": .., "records": N}, then N records, one per line.

  Args:
    path: the file; an existing one is overwritten.
    image_ids: of the split; `Batch.index` points into them.
    category_ids: by label.
  """

  def __init__(self, path: str, image_ids: Sequence[int], category_ids: Sequence[int]):
    self._file = open(path, 'w')  # closed by __exit__
    self._image_ids, self._category_ids = image_ids, list(category_ids)
    self._pool = WorkerPool()
    self._pending = collections.deque()
    self.images = self.incomplete = 0

  def add(self, batch: Batch, detections: Detections) -> None:
    """Adds a batch and its detections as NumPy arrays; waits while too many images are in progress."""
    for i in np.flatnonzero(batch.valid):
      image_id = int(self._image_ids[batch.index[i]])
      fields = detections_of_image(batch, detections, i)
      self._pending.append(self._pool.submit(*fields, image_id, self._category_ids))
      self.incomplete += int(detections.incomplete[i])
      while len(self._pending) > 4 * self._pool.size:
        self._write_oldest()

  def _write_oldest(self) -> None:
    self._file.write(self._pending.popleft().result())
    self.images += 1

  def __exit__(self, kind, error, trace) -> None:
    try:
      while kind is None and self._pending:
        self._write_oldest()
    finally:
      self._pool.close()
      self._file.close()


def detections_of_image(batch: Batch, detections: Detections, i: int) -> tuple:
  """First seven arguments of `image_results` for image `i` of a batch."""
  rows = np.flatnonzero(detections.valid[i])
  masks = None if detections.masks is None else detections.masks.probabilities
  fields = (detections.boxes, detections.scores, detections.labels, masks)
  covered = batch.image.shape[1:3] if isinstance(detections.masks, ImageMasks) else None
  of_image = (None if field is None else field[i, rows] for field in fields)
  return *of_image, covered, batch.image_size[i], batch.original_size[i]


@contextlib.contextmanager
def record_list(path: str) -> Iterator[Callable[[Mapping], None]]:
  """Context with a function that appends a record to a JSON list, one per line; the list is closed at its end."""
  with encoded_list(path) as write:
    yield lambda record: write(json.dumps(record))


@contextlib.contextmanager
def encoded_list(path: str) -> Iterator[Callable[[str], None]]:
  """Context as `record_list`, for records that are JSON text already."""
  with open(path, 'w') as file:
    separators = itertools.chain(['[\n'], itertools.repeat(',\n'))
    yield lambda record: file.write(next(separators) + record)
    file.write('[]\n' if next(separators) == '[\n' else '\n]\n')


def merge(parts: Sequence[str], image_ids: Sequence[int], path: str) -> None:
  """Joins the files of all processes into one results file.

  Raises:
    ValueError: an image of the split is missing or was evaluated twice.
  """
  seen = collections.Counter()
  with encoded_list(path) as write:
    for part in parts:
      with open(part) as lines:
        for image in map(json.loads, lines):
          seen[image['image_id']] += 1
          for record in itertools.islice(lines, image['records']):
            write(record.rstrip('\n'))
  expected = {int(id) for id in image_ids}
  for what, ids in (
    ('were not evaluated', expected - set(seen)),
    ('are not of the split', set(seen) - expected),
    ('were evaluated more than once', {id for id, times in seen.items() if times > 1}),
  ):
    if ids:
      some = ', '.join(str(id) for id in sorted(ids)[:5])
      raise ValueError(f'{len(ids)} of {len(expected)} images {what}, among them {some}; the results are in {path}')


def read_results(path: str, image_ids: Collection[int] | None = None) -> Iterator[dict]:
  """Yields the records of a results file, or of some images; in parts, those of `merge` the fastest.

  Raises:
    ValueError: the file is not a JSON list of records, or is cut off; see also `open_text`.
  """
  with open_text(path) as file:
    if file.readline() == '[\n' and RECORD_LINE.fullmatch(file.readline()):
      file.seek(0)
      file.readline()
      yield from _records_of_lines(file, path, image_ids)
      return
  for record in json_list(path):
    if image_ids is None or record['image_id'] in image_ids:
      yield record


def _records_of_lines(file: TextIO, path: str, image_ids: Collection[int] | None) -> Iterator[dict]:
  """Yields the records of a list with one record per line, after the bracket; parses many at once, which is faster."""
  last = ''
  while lines := file.readlines(PART):
    last = ''.join(lines[-2:]).rstrip() or last
    if image_ids is not None:
      lines = [line for line in lines if (match := RECORD_LINE.match(line)) and int(match[1]) in image_ids]
    try:
      yield from json.loads(f'[{"".join(lines).rstrip(LIST_ENDS)}]')
    except (json.JSONDecodeError, RecursionError) as error:
      raise ValueError(f'{path} is not a list of results with one in each line: {error}') from error
  if not last.endswith(']'):
    raise ValueError(f'{path} is cut off: the list of results does not end')
