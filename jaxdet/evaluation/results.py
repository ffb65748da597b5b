"""From detections on the canvas to a results file in COCO's and LVIS's format.

Each process appends a line of JSON for every image that it has seen; the first process then joins these
files. Pasting masks and encoding them takes longer than a detector on an accelerator, so it runs in threads
beside it, few images ahead, and no more than those are ever held in memory.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxdet.ops.paste import encode_rle, paste_window
from jaxdet.structures import Batch, Detections

MASK_THRESHOLD = 0.5  # of the pasted probability


class ResultsWriter(contextlib.AbstractContextManager):
  """Writes the results of batches to `path`, one line an image: {"image_id": ..., "results": [...]}.

  Args:
    path: the file; it is written anew.
    image_ids: of the split; `Batch.index` points into them.
    category_ids: by label.
  """

  def __init__(self, path: str, image_ids: Sequence[int], category_ids: Sequence[int]):
    self._file = open(path, 'w')  # closed by __exit__
    self._image_ids, self._category_ids = image_ids, category_ids
    self._workers = os.cpu_count() or 1
    self._pool = concurrent.futures.ThreadPoolExecutor(self._workers)
    self._pending = collections.deque()
    self.images = self.detections = self.incomplete = 0

  def add(self, batch: Batch, detections: Detections) -> None:
    """Takes a batch and its detections as NumPy arrays; waits while too many images are under way."""
    for i in np.flatnonzero(batch.valid):
      image_id = int(self._image_ids[batch.index[i]])
      work = self._pool.submit(image_results, batch, detections, i, image_id, self._category_ids)
      self._pending.append((image_id, work))
      self.incomplete += int(detections.incomplete[i])
      while len(self._pending) > 4 * self._workers:
        self._write_oldest()

  def _write_oldest(self) -> None:
    image_id, work = self._pending.popleft()
    results = work.result()
    self._file.write(json.dumps({'image_id': image_id, 'results': results}) + '\n')
    self.images += 1
    self.detections += len(results)

  def __exit__(self, kind, error, trace) -> None:
    try:
      while kind is None and self._pending:
        self._write_oldest()
    finally:
      self._pool.shutdown(cancel_futures=True)
      self._file.close()


def image_results(
  batch: Batch, detections: Detections, i: int, image_id: int, category_ids: Sequence[int]
) -> list[dict]:
  """Image `i`'s detections as results: boxes (x, y, width, height) in pixels of the file, masks as run lengths.

  As in Detectron2, boxes are scaled by original / resized along each axis and clipped to the image, and
  those without area are dropped.
  """
  boxes = rescale(detections.boxes[i], batch.image_size[i], batch.original_size[i])
  height, width = batch.original_size[i].tolist()
  results = []
  for k in np.flatnonzero(detections.valid[i] & (boxes[:, 2:] > boxes[:, :2]).all(1)):
    x1, y1, x2, y2 = boxes[k]
    result = {
      'image_id': image_id,
      'category_id': int(category_ids[detections.labels[i, k]]),
      'bbox': [float(v) for v in (x1, y1, x2 - x1, y2 - y1)],
      'score': float(detections.scores[i, k]),
    }
    if detections.masks is not None:
      window, origin = paste_window(detections.masks[i, k], boxes[k], height, width, MASK_THRESHOLD)
      mask = encode_rle(window, origin, height, width)
      result['segmentation'] = mask | {'counts': mask['counts'].decode()}  # JSON knows no bytes
    results.append(result)
  return results


def rescale(
  boxes: Float[np.ndarray, 'K 4'], image_size: Int[np.ndarray, '2'], original_size: Int[np.ndarray, '2']
) -> Float[np.ndarray, 'K 4']:
  """Boxes (x1, y1, x2, y2) of the resized image in pixels of the file, clipped to it; in float32."""
  height, width = (float(v) for v in original_size)
  scale = np.asarray([width / image_size[1], height / image_size[0]] * 2, np.float32)
  limit = np.asarray([width, height] * 2, np.float32)
  return np.clip(np.asarray(boxes, np.float32) * scale, 0, limit)


@contextlib.contextmanager
def record_list(path: str) -> Iterator[Callable[[Mapping], None]]:
  """A function that appends a record to a JSON list, one a line; the list is complete when the context ends."""
  with open(path, 'w') as file:
    separators = itertools.chain(['[\n'], itertools.repeat(',\n'))
    yield lambda record: file.write(next(separators) + json.dumps(record))
    file.write('[]\n' if next(separators) == '[\n' else '\n]\n')


def merge(parts: Sequence[str], image_ids: Sequence[int], path: str) -> None:
  """Joins the files of all processes into one results file.

  Raises:
    ValueError: an image of the split is missing or was evaluated twice.
  """
  seen = collections.Counter()
  with record_list(path) as write:
    for part in parts:
      with open(part) as lines:
        for image in map(json.loads, lines):
          seen[image['image_id']] += 1
          for record in image['results']:
            write(record)
  expected = {int(id) for id in image_ids}
  for what, ids in (
    ('were not evaluated', expected - set(seen)),
    ('are not of the split', set(seen) - expected),
    ('were evaluated more than once', {id for id, times in seen.items() if times > 1}),
  ):
    if ids:
      some = ', '.join(str(id) for id in sorted(ids)[:5])
      raise ValueError(f'{len(ids)} of {len(expected)} images {what}, among them {some}; the results are in {path}')


def read_results(path: str) -> Iterator[dict]:
  """The records of a results file; one that `merge` wrote is read line by line, others as a whole.

  Raises:
    ValueError: the file is not a JSON list of records.
  """
  with open(path) as file:
    if file.readline() == '[\n' and file.readline().startswith('{"image_id"'):
      file.seek(0)
      yield from (json.loads(line.rstrip(',\n')) for line in file if line.startswith('{'))
      return
    file.seek(0)
    records = json.load(file)
  if not isinstance(records, list):
    raise ValueError(f'{path} is not a list of results but a {type(records).__name__}')
  yield from records
