"""Arrays of an unfinished batch, by their paths in `structures.Batch`: 'image', 'objects/masks/bits', ..."""

from collections.abc import Mapping

import numpy as np

from jaxdet.structures import Batch, InstanceMasks, Objects

Columns = dict[str, np.ndarray]

STRUCTURES = {'': Batch, 'objects': Objects, 'objects/masks': InstanceMasks}  # classes by path


def to_batch(columns: Mapping[str, np.ndarray], path: str = '') -> Batch:
  """Makes a batch of all columns, or the structure at `path` of the columns below it."""
  own, below = {}, {}
  for name, column in columns.items():
    first, _, rest = name.partition('/')
    if rest:
      below.setdefault(first, {})[rest] = column
    else:
      own[first] = column
  own |= {name: to_batch(part, f'{path}/{name}'.strip('/')) for name, part in below.items()}
  return STRUCTURES[path](**own)
