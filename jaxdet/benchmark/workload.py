"""Workload of a benchmark: a config at one precision, with its detector and a batch."""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from jaxdet.benchmark.synthetic import class_counts, synthetic_batch
from jaxdet.models.build import build_detector
from jaxdet.structures import Batch
from jaxdet.training.categories import set_class_counts
from jaxdet.zoo import model_size

DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class Workload:
  """A config for a benchmark, and the size of its batches."""

  name: str  # FILE or FILE:VARIANT
  config: ConfigDict  # complete and locked
  canvas: tuple[int, int]  # (height, width) in pixels, filled by the images
  objects: int  # per image
  repeats: int  # least number of timed calls

  @property
  def images(self) -> int:
    """Images of a batch, over all devices."""
    return self.config.train.batch_size

  @property
  def dtype(self) -> str:
    """Type of activations."""
    return self.config.model.dtype

  def detector(self) -> Any:
    """Detector, see docs/design.md, 'A detector'."""
    return build_detector(self.config.model, self.config.model.num_classes)

  def batch(self) -> Batch:
    """Batch on the host; with proposals if the detector has no generator."""
    proposals = self.config.model.get('proposals')
    count = proposals.count if proposals and proposals.name == 'given' else 0
    return synthetic_batch(self.config, self.images, self.canvas, self.objects, count)


def make_workload(
  name: str, config: ConfigDict, dtype: str, images: int, canvas: tuple[int, int], objects: int, repeats: int
) -> Workload:
  """Makes a workload; the config is changed in three places so that it needs no data.

  The number of classes is that of the published data set, class counts are made up, and the score threshold is 0:
  otherwise almost no score of random weights would pass, and suppression would have nothing to do.

  Raises:
    ValueError: an unknown dtype, more objects than a batch can have, or an unknown number of classes.
  """
  if dtype not in DTYPES:
    raise ValueError(f"unknown --dtype '{dtype}': choose {' or '.join(DTYPES)}, or both with a comma between them")
  places = config.data.max_objects
  if objects > places:
    raise ValueError(f'{objects} objects an image, and data.max_objects is {places}: give --objects less')
  config = config.copy_and_resolve_references().unlock()
  config.model.dtype = dtype
  config.model.num_classes = model_size.num_classes(config)
  set_class_counts(config, class_counts(config.model.num_classes))
  config.model.test.score_threshold = 0.0
  config.train.batch_size = images
  return Workload(name, config.lock(), canvas, objects, repeats)
