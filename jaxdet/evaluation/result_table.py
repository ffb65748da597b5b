"""Compact columns of all records of a results file, which may be millions."""

import array
import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxdet.annotations import run_lengths
from jaxdet.annotations.fields import Fields, Mismatch, finite, integer, number
from jaxdet.annotations.polygons import check_reach, polygons
from jaxdet.annotations.problems import Problems
from jaxdet.evaluation.ground_truth import GroundTruth, union

NO_BOX = (np.nan,) * 4
LARGEST = 2**63  # integers of columns are smaller
PART = 4096  # masks that are checked at once
# (image id, category id), score, box, size and counts of the mask.
Row = tuple[tuple[int, int], float, Sequence[float], Sequence[int], bytes | None]


@dataclasses.dataclass(frozen=True)
class ResultTable:
  """N records in the order of the file, also of images and categories that are not in the ground truth."""

  image_ids: Int[np.ndarray, 'N']
  category_ids: Int[np.ndarray, 'N']
  scores: Float[np.ndarray, 'N']
  boxes: Float[np.ndarray, 'N 4']  # (x, y, width, height); NaN if a record has none
  mask_sizes: Int[np.ndarray, 'N 2']  # (height, width); 0 if a record has no mask, or polygons of an unknown image
  masks: list[bytes | None]  # COCO's compressed counts; None if a record has none, or it is not kept


def read_table(
  records: Iterable[Any], truth: GroundTruth, pairs: Int[np.ndarray, 'P'] | None = None, source: str = 'results'
) -> ResultTable:
  """Reads records of the results format into columns.

  Args:
    records: with a 'category_name', as in predictions.json, it must be the ground truth's.
    pairs: pairs of image and category whose masks are kept; None: masks of all images in the ground truth.
    source: the file of the records, for messages.

  Raises:
    ValueError: records lack a field, or a field is not what is expected; the message lists them.
  """
  wanted = _Wanted(truth, pairs)
  ids, numbers, mask_sizes, masks = array.array('q'), array.array('d'), array.array('i'), []
  problems = Problems(source)
  for position, record in enumerate(records):
    row = _plain(record, wanted)
    if row is None:
      fields = Fields(record, 'result of image', position, problems, id_key='image_id')
      row = _checked(fields, wanted)
      if not fields.good:
        continue
    key, score, box, size, counts = row
    ids.extend(key)
    numbers.extend((score, *box))
    mask_sizes.extend(size)
    masks.append(counts)
  image_ids, category_ids = np.asarray(ids, np.int64).reshape(-1, 2).T
  numbers = np.asarray(numbers, np.float64).reshape(-1, 5)
  table = ResultTable(
    image_ids,
    category_ids,
    numbers[:, 0],
    numbers[:, 1:],
    np.asarray(mask_sizes, np.int32).reshape(-1, 2),
    masks,
  )
  _check_masks(table, problems)
  problems.raise_if_any()
  return table


class _Wanted:
  """What records are compared with: sizes of images and names of categories by id, and whose masks are kept."""

  def __init__(self, truth: GroundTruth, pairs: Int[np.ndarray, 'P'] | None):
    self.sizes = dict(zip(truth.image_ids.tolist(), truth.image_sizes.tolist(), strict=True))
    self.source, self._names = truth.source, {category.id: category.name for category in truth.categories}
    self._kept = None if pairs is None else _by_ids(truth, pairs)

  def check_name(self, category_id: int, value: Any) -> None:
    """Raises Mismatch if a category of the ground truth has another name there; None is any name."""
    name = self._names.get(category_id, value)
    if value is not None and value != name:
      raise Mismatch(
        f"{name!r}, category {category_id} of {self.source}; if both names mean the same, leave out 'category_name'"
      )

  def keeps(self, key: tuple[int, int]) -> bool:
    """Whether the masks of this (image id, category id) are kept."""
    return key[0] in self.sizes if self._kept is None else key in self._kept


def _plain(record: Any, wanted: _Wanted) -> Row | None:
  """Row of a record as most programs write it, for speed, its run lengths unchecked; None: it needs a closer look."""
  if type(record) is not dict:
    return None
  try:
    wanted.check_name(record['category_id'], record.get('category_name'))
    key, score, (x, y, width, height) = (record['image_id'], record['category_id']), record['score'], record['bbox']
    plain = (
      type(key[0]) is type(key[1]) is int
      and -LARGEST < key[0] < LARGEST
      and -LARGEST < key[1] < LARGEST
      and type(score) is type(x) is type(y) is type(width) is type(height) is float
      and math.isfinite(score + x + y + width + height)
    )
    mask, size, counts = record.get('segmentation'), (0, 0), None
    if plain and mask is not None:
      size = wanted.sizes.get(key[0], (0, 0))
      if plain := type(mask) is dict and mask['size'] == size and type(mask['counts']) is str:
        counts = mask['counts'].encode('ascii') if wanted.keeps(key) else None
  except (KeyError, TypeError, ValueError):
    return None
  return (key, score, (x, y, width, height), size, counts) if plain else None


def _checked(fields: Fields, wanted: _Wanted) -> Row:
  """Row of any record; has None where there is a problem."""
  key = fields.required('image_id', integer), fields.required('category_id', integer)
  fields.optional('category_name', functools.partial(wanted.check_name, key[1]), None)
  score, box = fields.required('score', number), fields.optional('bbox', _box, NO_BOX)
  size, counts = wanted.sizes.get(key[0], (0, 0)), None
  if not fields.entry.get('segmentation'):
    size = (0, 0)
    if box is NO_BOX and fields.good:
      fields.problem("has neither 'bbox' nor 'segmentation'")
  elif wanted.keeps(key):
    size, counts = fields.required('segmentation', functools.partial(_compressed, size)) or (size, None)
  else:
    size = fields.required('segmentation', functools.partial(_size, size))
  return key, score, box, size, counts


def _check_masks(table: ResultTable, problems: Problems) -> None:
  """Checks that run lengths add up."""
  rows = [row for row, counts in enumerate(table.masks) if counts is not None]
  for begin in range(0, len(rows), PART):
    part = rows[begin : begin + PART]
    sums = run_lengths.totals([table.masks[row] for row in part])
    for i in np.flatnonzero(sums != table.mask_sizes[part].astype(np.int64).prod(axis=1)).tolist():
      size, counts = table.mask_sizes[part[i]].tolist(), table.masks[part[i]]
      mask = {'size': size, 'counts': counts.decode()}
      fields = Fields(
        {'image_id': int(table.image_ids[part[i]]), 'segmentation': mask}, 'result of image', 0, problems, 'image_id'
      )
      fields.required('segmentation', run_lengths.compressed)


def _box(value: Any) -> list[float]:
  if len(value := finite(value)) != 4:
    raise Mismatch('a list of x, y, width and height')
  return value


def _compressed(image_size: Sequence[int], value: Any) -> tuple[Sequence[int], bytes]:
  """(height, width) and compressed run lengths of a mask; polygons are of the image's size."""
  if type(value) is not list:
    return run_lengths.compressed(value)
  kept = polygons(value)
  if not kept:
    raise Mismatch('polygons of at least three points')
  for polygon in kept:
    check_reach(polygon, image_size)
  return image_size, union(kept, *image_size)['counts']


def _size(image_size: Sequence[int], value: Any) -> Sequence[int]:
  """(height, width) of a mask that is not kept."""
  if type(value) is list:
    return image_size
  if type(value) is not dict or 'size' not in value:
    raise Mismatch('{"size": [height, width], "counts": ..}')
  return run_lengths.size(value['size'])


def _by_ids(truth: GroundTruth, pairs: Int[np.ndarray, 'P']) -> set[tuple[int, int]]:
  """Converts pairs to (image id, category id)."""
  category_ids = np.asarray([category.id for category in truth.categories], np.int64)
  label, image = np.divmod(pairs, max(len(truth.image_ids), 1))
  return set(zip(truth.image_ids[image].tolist(), category_ids[label].tolist(), strict=True))
