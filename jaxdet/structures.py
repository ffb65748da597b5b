"""Arrays that travel between the floors: a batch in, detections out; and the table of categories.

Boxes are (x1, y1, x2, y2) in pixels, continuous, width = x2 - x1. Labels are 0-based positions in the category table,
without background. Whether a row is real is always a field `valid` of its own, never a guess from coordinates; padding
rows are zeros, on which every op is harmless. Arrays are NumPy on the host and jax.Array on the device.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Protocol

import flax.struct
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8


@flax.struct.dataclass
class InstanceMasks:
  """Masks of ground truth: bits over a window round the object and, optionally, polygons.

  Bit (i, j) is the object's mask averaged over the window's cell (i, j) and rounded; where the object is at most M
  pixels wide and high, a cell is exactly one pixel. Bits are packed along the row, most significant first
  (`numpy.packbits`). With polygons, an object's mask is the area that they enclose, to a fraction of a pixel
  (ops/polygon_targets.py), and its bits count only where `outline_parts` begins with -1.
  """

  bits: UInt8[Array, '*B N M M/8']
  windows: Float[Array, '*B N 4']  # float32 xyxy, in canvas pixels
  # The rings of an object's polygons, one after the other, each with its first vertex again at its end.
  outlines: Float[Array, '*B N V 2'] | None = None  # float32 (x, y), in canvas pixels
  outline_parts: Int[Array, '*B N V'] | None = None  # int8, the ring of each vertex; -1: none


@flax.struct.dataclass
class Objects:
  """Ground truth: N objects for each of B images. A new kind of annotation is a new field with axes B and N first."""

  boxes: Float[Array, '*B N 4']  # float32, in canvas pixels
  labels: Int[Array, '*B N']  # int32
  valid: Bool[Array, '*B N']  # False: padding
  masks: InstanceMasks | None = None  # None where boxes are all that is known
  keypoints: Float[Array, '*B N P 3'] | None = None  # float32 (x, y, visibility 0, 1 or 2), in canvas pixels

  def take(self, index: Int[Array, '*B R']) -> 'Objects':
    """Gathers the objects of one image (index [R]), or of every image (index [B, R])."""
    if index.ndim == 1:
      return jax.tree.map(lambda x: x[index], self)
    return jax.vmap(Objects.take)(self, index)


@flax.struct.dataclass
class Proposals:
  """P boxes for each of B images that may hold an object, best first."""

  boxes: Float[Array, 'B P 4']  # in canvas pixels, inside the image
  logits: Float[Array, 'B P']  # of objectness; zeros where the proposals have no score
  valid: Bool[Array, 'B P']


@flax.struct.dataclass
class Batch:
  """B images on one canvas of H x W pixels, with their ground truth.

  The image lies at the canvas's top left; the rest of the canvas is padding, which the detector sets to zero after
  normalisation.
  """

  image: UInt8[Array, 'B H W 3']  # RGB, 0..255
  image_size: Int[Array, 'B 2']  # int32 (height, width) of the image on the canvas, in pixels
  original_size: Int[Array, 'B 2']  # int32 (height, width) of the file, before resizing
  index: Int[Array, 'B']  # int32 position of the image in its split; ids stay on the host
  valid: Bool[Array, 'B']  # False for images that only fill up the last batch
  objects: Objects
  proposals: Proposals | None = None  # from elsewhere, for detectors that make none of their own (Fast R-CNN)
  semantic: Int[Array, 'B H W'] | None = None  # int32 class of every canvas pixel, -1 where it does not count
  image_labels: Bool[Array, 'B K'] | None = None  # classes that the image is known to hold, with or without boxes


@flax.struct.dataclass
class BoxMasks:
  """Masks relative to their boxes."""

  probabilities: Float[Array, 'B K S S']  # over the box


@flax.struct.dataclass
class ImageMasks:
  """Masks on a grid over the whole canvas, cropped to their boxes when they are read (ops/image_masks.py)."""

  probabilities: Float[Array, 'B K h w']  # cell (i, j) covers canvas pixels [i * H / h, (i + 1) * H / h) in y, j in x


@flax.struct.dataclass
class Detections:
  """Up to K detections an image, best first, in pixels of the resized image on the canvas."""

  boxes: Float[Array, 'B K 4']
  scores: Float[Array, 'B K']
  labels: Int[Array, 'B K']
  valid: Bool[Array, 'B K']
  masks: BoxMasks | ImageMasks | None  # None where a model has no masks
  incomplete: Bool[Array, 'B']  # candidates were cut off that could have been among the K
  mask_scores: Float[Array, 'B K'] | None = None  # that masks are ranked by, where they are not `scores`
  keypoints: Float[Array, 'B K P 3'] | None = None  # (x, y, score)
  # Logits of the classes of pixels, on a grid over the whole canvas as that of ImageMasks.
  semantic: Float[Array, 'B h w C'] | None = None


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
