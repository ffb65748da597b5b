"""Objects of an image on the canvas, with an entry for each kind of annotation."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from input_pipeline.fields.field import Placed

BEYOND_MAX = 'objects_beyond_max_objects'  # counter of objects beyond data.max_objects


@dataclasses.dataclass(frozen=True)
class PlacedObjects:
  """N objects on the canvas by name of the kind, and numbers of dropped objects by name of the counter."""

  kinds: Mapping[str, Placed]
  left_out: Mapping[str, int]

  def __getitem__(self, name: str) -> Placed:
    return self.kinds[name]

  def __len__(self) -> int:
    return len(self.labels)

  @property
  def labels(self) -> Int[np.ndarray, 'N']:
    return self.kinds['boxes'].labels

  def take(self, rows: Int[np.ndarray, 'n']) -> 'PlacedObjects':
    """Objects of these rows, which ascend."""
    return dataclasses.replace(self, kinds={name: placed.take(rows) for name, placed in self.kinds.items()})

  def followed_by(self, others: 'PlacedObjects') -> 'PlacedObjects':
    """Appends other objects on the same canvas; ignores the others' counters."""
    kinds = {name: placed.followed_by(others.kinds[name]) for name, placed in self.kinds.items()}
    return dataclasses.replace(self, kinds=kinds)

  def leaving_out(self, beyond: int) -> 'PlacedObjects':
    """Adds to the counter of objects beyond data.max_objects; the objects stay."""
    return dataclasses.replace(self, left_out={**self.left_out, BEYOND_MAX: self.left_out[BEYOND_MAX] + beyond})
