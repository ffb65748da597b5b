"""A detector that is measured in seconds."""

import dataclasses

from jaxdet.benchmark.workload import Workload, make_workload
from jaxdet.models.detectors.dense import DenseDetector
from small_dense import small_dense_config, small_dense_detector
from small_query import random_variables


class QuicklyInitialized(DenseDetector):
  """Variables that need no random numbers, which take XLA longer to compile than the losses."""

  def init(self, key):
    del key
    return random_variables(DenseDetector(**vars(self)))


@dataclasses.dataclass(frozen=True)
class SmallWorkload(Workload):
  """RetinaNet on five convolutions."""

  def detector(self) -> DenseDetector:
    return QuicklyInitialized(**vars(small_dense_detector(self.config)))


def small_workload(dtype: str = 'float32') -> SmallWorkload:
  config = small_dense_config('retinanet').copy_and_resolve_references()
  config.data.max_objects = 4
  workload = make_workload('retinanet', config, dtype, images=2, canvas=(64, 96), objects=3, repeats=2)
  return SmallWorkload(**vars(workload))
