"""What travels between the floors: a batch in, detections out, and the table of categories.

Boxes are (x1, y1, x2, y2) in pixels, continuous, width = x2 - x1. Labels are 0-based positions in the
category table, without background. Whether a row holds something is always a field of its own, never a
guess from coordinates; rows that hold nothing are zeros, on which every op is harmless.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Protocol

import flax.struct
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8


@flax.struct.dataclass
class Batch:
  """B images on one canvas of H x W pixels with up to N objects each.

  The image lies at the canvas's top left; the rest of the canvas is padding, which the detector sets to
  zero after normalisation. Arrays are NumPy on the host and jax.Array on the device.

  A mask is stored as a crop of M x M bits over `mask_windows`: bit (i, j) is the object's mask averaged
  over the window's cell (i, j) and rounded; where the object is at most M pixels wide and high, a cell is
  exactly one pixel. Bits are packed along the row, most significant first (`numpy.packbits`).

  With outlines, an object's mask is what its polygons enclose, to a fraction of a pixel (ops/polygon_targets.py), and
  its bits count only where `outline_parts` begins with -1.
  """

  image: UInt8[Array, 'B H W 3']  # RGB, 0..255
  image_size: Int[Array, 'B 2']  # int32 (height, width) of the image on the canvas, in pixels
  original_size: Int[Array, 'B 2']  # int32 (height, width) of the file, before resizing
  index: Int[Array, 'B']  # int32 position of the image in its split; ids stay on the host
  valid: Bool[Array, 'B']  # False for images that only fill up the last batch
  boxes: Float[Array, 'B N 4']  # float32, in canvas pixels
  labels: Int[Array, 'B N']  # int32
  objects_valid: Bool[Array, 'B N']  # True for the rows that hold an object
  mask_bits: UInt8[Array, 'B N M M/8']
  mask_windows: Float[Array, 'B N 4']  # float32 (x1, y1, x2, y2), in canvas pixels
  # The rings of an object's polygons, one after the other, each with its first vertex again at its end.
  outlines: Float[Array, 'B N V 2'] | None = None  # float32 (x, y), in canvas pixels
  outline_parts: Int[Array, 'B N V'] | None = None  # int8, the ring a vertex belongs to; -1: none
  # Regions from elsewhere, best first, for detectors that make none of their own (Fast R-CNN).
  proposals: Float[Array, 'B P 4'] | None = None  # float32, in canvas pixels
  proposals_valid: Bool[Array, 'B P'] | None = None


@flax.struct.dataclass
class Detections:
  """Up to K detections an image, best first, in pixels of the resized image on the canvas."""

  boxes: Float[Array, 'B K 4']
  scores: Float[Array, 'B K']
  labels: Int[Array, 'B K']
  valid: Bool[Array, 'B K']
  masks: Float[Array, 'B K S S'] | None  # probabilities over the box; None where a model has no masks
  incomplete: Bool[Array, 'B']  # candidates were cut off that could have been among the K


@dataclasses.dataclass(frozen=True)
class Category:
  """One row of the category table, as in LVIS; `frequency` is '' for data sets without groups."""

  id: int  # the annotation file's own id; a label is the position in the table sorted by id
  name: str
  frequency: str = ''  # 'r', 'c' or 'f': in at most 10, at most 100, or more training images
  image_count: int = 0


class Dataset(Protocol):
  """A training and a validation split, as the trainer and the evaluator see them.

  Over several hosts each iterator yields this process's part of the global batch, and all processes yield
  the same number of batches. Batches are a function of (seed, step) alone.
  """

  categories: tuple[Category, ...]  # sorted by id
  num_train_images: int
  annotations: str  # path of the validation split's annotation file (LVIS or COCO JSON), or of splits of VOC
  image_ids: np.ndarray  # int64 [V], the validation split's ids; Batch.index points into it
  image_files: tuple[str, ...]  # [V] paths

  def train_batches(self, start_step: int) -> Iterator[Batch]:
    """Endless batches of step `start_step`, `start_step` + 1, ..."""

  def eval_batches(self) -> Iterator[Batch]:
    """The validation split once, in order, the last batch filled up with images that are not valid."""

  def counters(self) -> Mapping[str, int]:
    """What the pipeline met so far, by name: objects dropped beyond `max_objects`, unreadable images, ..."""
