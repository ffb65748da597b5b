"""Counts the training images and objects of each class, and reads and writes such counts.

The files are in the formats of DisAlign's code ("num shots"): for LVIS v1.0 a JSON list [class id, count, class id,
count, ..], of which it reads every second entry, for LVIS v0.5 a NumPy array of the counts. Its code divides each count
by their sum and uses this as the share of the class among the training samples of a box classifier. So the counts must
be those of objects; the code does not document it.
"""

import dataclasses
import itertools
import json
import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from jaxdet.annotations.json_stream import json_list
from jaxdet.annotations.ragged import Ragged


@dataclasses.dataclass(frozen=True)
class ClassCounts:
  """Images and objects of C classes in a split."""

  images: Int64[np.ndarray, 'C']  # images with the class
  instances: Int64[np.ndarray, 'C']  # its objects, crowds included
  num_images: int  # images of the split, with and without objects


def count_classes(labels: Ragged, num_classes: int) -> ClassCounts:
  """Counts a split's images and objects by class, from the labels of every image's objects."""
  _, classes = classes_of_images(labels, num_classes)
  return ClassCounts(
    images=np.bincount(classes, minlength=num_classes),
    instances=np.bincount(labels.values, minlength=num_classes),
    num_images=len(labels),
  )


def classes_of_images(
  labels: Ragged, num_classes: int
) -> tuple[Int64[np.ndarray, 'pairs'], Int64[np.ndarray, 'pairs']]:
  """Distinct (image, class) pairs, sorted by image, then by class."""
  return np.divmod(np.unique(labels.rows() * num_classes + labels.values), num_classes)


def read_num_shots(path: str) -> Int64[np.ndarray, 'C']:
  """Reads the counts of a `.json` or `.npy` file, in its order; a label is a position in it.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file has another format, or values that are not counts.
  """
  if not os.path.isfile(path):
    raise FileNotFoundError(f'no file of class counts {path}')
  suffix = os.path.splitext(path)[1]
  try:
    if suffix == '.json':
      counts = _every_second(path)
    elif suffix == '.npy':
      counts = np.load(path, allow_pickle=False)
    else:
      raise ValueError("its name ends neither in '.json' nor in '.npy'")
    return _checked(counts)
  except ValueError as error:
    raise ValueError(f'cannot read class counts from {path}: {error}') from error


def write_num_shots(path: str, class_ids: Sequence[int], counts: Int64[np.ndarray, 'C']) -> None:
  """Writes the counts in the format of the path's suffix; an array has no ids."""
  if path.endswith('.npy'):
    np.save(path, counts)
  else:
    pairs = np.stack([np.asarray(class_ids, np.int64), counts], axis=1)
    with open(path, 'w') as f:
      json.dump(pairs.ravel().tolist(), f)


def _every_second(path: str) -> np.ndarray:
  pairs = list(json_list(path))
  if not all(type(number) in (int, float) for number in pairs):
    raise ValueError('it holds no flat list of numbers [class id, count, class id, count, ..]')
  if len(pairs) % 2:
    raise ValueError(f'{len(pairs)} numbers are no pairs of a class id and a count')
  ids = pairs[::2]
  if len(set(ids)) < len(ids):
    raise ValueError('a class id stands in it twice: is it a list of counts alone?')
  for before, after in itertools.pairwise(ids):
    if before > after:
      raise ValueError(
        f'class id {before} stands before {after}: counts must be in the order of the ids, as labels are'
      )
  return np.array(pairs[1::2])


def _checked(counts: np.ndarray) -> Int64[np.ndarray, 'C']:
  """Converts counts to integers; raises ValueError if they are not whole and non-negative."""
  if counts.ndim != 1 or not len(counts) or counts.dtype.kind not in 'iuf':
    raise ValueError(f'it holds an array of shape {counts.shape} of {counts.dtype}, not a list of numbers')
  if not (np.isfinite(counts).all() and (counts >= 0).all() and (counts == np.floor(counts)).all()):
    raise ValueError('counts must be whole numbers and not negative')
  return counts.astype(np.int64)
