"""A recorded run as small as can be, made up here."""

from types import SimpleNamespace

import numpy as np

from jaxdet.parity.case import Case

RECIPE = SimpleNamespace(
  sample_indices=lambda size: np.arange(0, size, 3),
  fill=lambda name, shape: np.full(shape, len(name), np.float32),
  uniform=lambda name, shape: np.random.default_rng([*name.encode()]).random(shape),
)


def small_case(name: str = 'detectron2/small', arrays: dict | None = None, **meta) -> Case:
  """A case with these arrays and this `meta`, whose images are Detectron2's."""
  meta = {
    'config': 'detectron2/configs/COCO-Detection/small.yaml',
    'overrides': {},
    'system': ['Mask R-CNN'],
    'num_classes': 80,
    'image_mean': [103.53, 116.28, 123.675],
    'image_std': [57.375, 57.12, 58.395],
    'channel_order': 'BGR',
    'tensors': [],
    **meta,
  }
  return Case(name, meta, arrays or {}, RECIPE)
