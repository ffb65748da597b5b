"""Mask R-CNN on a network small enough to compile in seconds, and batches for it."""

import functools
import pathlib

import numpy as np

from jaxdet.configuration import load_config
from jaxdet.structures import Batch, InstanceMasks, Objects

CONFIG = pathlib.Path(__file__).resolve().parents[1] / 'configs' / 'lvis_maskrcnn.py'
CLASSES = 5


def with_valid(batch: Batch, valid) -> Batch:
  """The batch with other rows that hold an object."""
  return batch.replace(objects=batch.objects.replace(valid=valid))


@functools.cache
def small_config():
  config = load_config(f'{CONFIG}:mini').unlock()
  config.model.backbone = {**config.model.backbone, 'stem_width': 8}
  config.model.neck.channels = 16
  config.model.proposals.channels = 16
  config.model.roi.box_head.channels = 32
  config.model.roi.mask_head = {**config.model.roi.mask_head, 'num_convs': 1, 'channels': 16}
  return config


def make_batch(objects: int = 3, canvas: tuple[int, int] = (64, 96), images: int = 2) -> Batch:
  """Noise images of 56 x 80 pixels on the canvas, three square objects each, room for `objects`."""
  rng = np.random.default_rng(0)
  image = np.zeros((images, *canvas, 3), np.uint8)
  image[:, :56, :80] = rng.integers(0, 256, (images, 56, 80, 3))
  boxes = np.zeros((images, objects, 4), np.float32)
  boxes[:, :3] = [[4, 4, 24, 24], [30, 10, 70, 50], [50, 5, 66, 21]]
  windows = np.zeros_like(boxes)
  windows[:, :3] = boxes[:, :3]
  bits = np.zeros((images, objects, 16, 2), np.uint8)
  bits[:, :3] = 255
  return Batch(
    image=image,
    image_size=np.tile(np.array([[56, 80]], np.int32), (images, 1)),
    original_size=np.tile(np.array([[56, 80]], np.int32), (images, 1)),
    index=np.arange(images, dtype=np.int32),
    valid=np.ones(images, bool),
    objects=Objects(
      boxes=boxes,
      labels=np.tile(np.arange(objects, dtype=np.int32) % CLASSES, (images, 1)),
      valid=np.tile(np.arange(objects) < 3, (images, 1)),
      masks=InstanceMasks(bits, windows),
    ),
  )
