"""Sorts the classes of imported weights: the rows of classifiers, boxes and masks that belong to one class each.

An array has class rows if its size depends on the number of classes. The rows are on its last axis, in one of three
forms: K classes and then columns of no class (background); for each anchor K classes and background; four coordinates
for each class.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Int
from ml_collections import ConfigDict

from jaxdet.convert.frameworks import flat_shapes

BOXES = '/deltas/'  # in the path of a layer with four rows for each class
SHIFTED = '/semantic/'  # in the path of YOLACT's semantic layer, whose map i is of class i + 1


def class_arrays(model: ConfigDict) -> dict[str, int]:
  """Number of rows for each class of all arrays with class rows, by path; `model` is config.model with num_classes."""
  small, large = (_shapes(model, model.num_classes + more) for more in (0, 1))
  counts = {}
  for path in small:
    change = np.subtract(large[path].shape, small[path].shape)
    if change.any():
      if change[:-1].any():
        raise ValueError(f'{path} has its classes not on the last axis alone: the order of its classes is not known')
      counts[path] = int(change[-1])
  return counts


def sorted_classes(variables: Mapping, order: Sequence[int], counts: Mapping[str, int]) -> dict:
  """Sorts the class rows of arrays.

  Args:
    variables: of the model, in the file's order of classes.
    order: the file's class of each label.
    counts: rows for each class, by path of the arrays to sort; see `class_arrays`.
  """
  flat = flatten_dict(variables, sep='/')
  for path, count in counts.items():
    flat[path] = np.take(flat[path], row_order(path, flat[path].shape[-1], order, count), axis=-1)
  return {collection: {} for collection in variables} | unflatten_dict(flat, sep='/')


def row_order(path: str, size: int, order: Sequence[int], count: int) -> Int[np.ndarray, 'R']:
  """The old row of each row of an array's last axis.

  Args:
    path: of the array.
    size: of the axis.
    order: the old class of each class.
    count: rows for each class.
  """
  order = np.asarray(order)
  if BOXES in path:
    return (count * order[:, None] + np.arange(count)).reshape(-1)
  if SHIFTED in path:
    order = (np.roll(order, -1) - 1) % len(order)
  others = size // count - len(order)  # columns of no class
  columns = np.concatenate([order, len(order) + np.arange(others)])
  return columns if count == 1 else (size // count * np.arange(count)[:, None] + columns).reshape(-1)


def _shapes(model: ConfigDict, num_classes: int) -> Mapping:
  model = ConfigDict(model.to_dict() | {'class_counts': {'images': (), 'instances': (), 'num_images': 0}})
  model.num_classes = num_classes
  return flat_shapes(model)
