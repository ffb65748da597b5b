"""Structures shared by all floors: batches, objects, detections, and the category table.

Boxes are (x1, y1, x2, y2) in continuous pixels, width = x2 - x1. Labels are 0-based positions in the category table,
without background. Padding is marked by a field `valid`, never inferred from coordinates; padded rows are zeros, for
which every op gives finite results. Arrays are NumPy on the host and jax.Array on the device.
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
  """Ground-truth masks: bits over a window around the object and, optionally, polygons.

  Bit (i, j) is the object's mask averaged over the window's cell (i, j) and rounded. If the object is at most M pixels
  wide and high, a cell is exactly one pixel. Bits are packed along the row, most significant first (`numpy.packbits`).
  With polygons, an object's mask is the area that they enclose, to a fraction of a pixel (ops/polygon_targets.py); its
  bits are used only if `outline_parts` begins with -1.
  """

  bits: UInt8[Array, '*B N M M/8']
  windows: Float[Array, '*B N 4']  # float32 xyxy, in canvas pixels
  # Rings of an object's polygons, one after the other; each ends with its first vertex again.
  outlines: Float[Array, '*B N V 2'] | None = None  # float32 (x, y), in canvas pixels
  outline_parts: Int[Array, '*B N V'] | None = None  # int8, index of each vertex's ring; -1: padding


@flax.struct.dataclass
class Objects:
  """Ground truth: N objects for each of B images. A new kind of annotation is a new field with axes B and N first."""

  boxes: Float[Array, '*B N 4']  # float32, in canvas pixels
  labels: Int[Array, '*B N']  # int32
  valid: Bool[Array, '*B N']  # False: padding
  masks: InstanceMasks | None = None  # None: boxes only
  keypoints: Float[Array, '*B N P 3'] | None = None  # float32 (x, y, visibility 0, 1 or 2), in canvas pixels

  def take(self, index: Int[Array, '*B R']) -> 'Objects':
    """Gathers the objects of one image (index [R]), or of every image (index [B, R])."""
    if index.ndim == 1:
      return jax.tree.map(lambda x: x[index], self)
    return jax.vmap(Objects.take)(self, index)


@flax.struct.dataclass
class Proposals:
  """P proposals for each of B images, best first."""

  boxes: Float[Array, 'B P 4']  # in canvas pixels, inside the image
  logits: Float[Array, 'B P']  # objectness; zeros if proposals have no score
  valid: Bool[Array, 'B P']


@flax.struct.dataclass
class Batch:
  """B images on one canvas of H x W pixels, with their ground truth.

  The image lies at the canvas's top left; the rest of the canvas is padding, which the detector sets to zero after
  normalisation.
  """

  image: UInt8[Array, 'B H W 3']  # RGB, 0..255
  image_size: Int[Array, 'B 2']  # int32 (height, width) of the image on the canvas, in pixels
  original_size: Int[Array, 'B 2']  # int32 (height, width) of the file before resizing, in pixels
  index: Int[Array, 'B']  # int32 position of the image in its split; ids stay on the host
  valid: Bool[Array, 'B']  # False for images that pad the last batch
  objects: Objects
  proposals: Proposals | None = None  # precomputed, for detectors without a proposal generator (Fast R-CNN)
  semantic: Int[Array, 'B H W'] | None = None  # int32 class of every canvas pixel, -1: ignored
  image_labels: Bool[Array, 'B K'] | None = None  # classes known to be in the image, with or without boxes


@flax.struct.dataclass
class BoxMasks:
  """Masks relative to their boxes."""

  probabilities: Float[Array, 'B K S S']  # over the box


@flax.struct.dataclass
class ImageMasks:
  """Masks on a grid over the whole canvas, cropped to their boxes later (ops/image_masks.py)."""

  probabilities: Float[Array, 'B K h w']  # cell (i, j) covers canvas pixels [i * H / h, (i + 1) * H / h) in y, j in x


@flax.struct.dataclass
class Detections:
  """Up to K detections per image, best first, in pixels of the resized image on the canvas."""

  boxes: Float[Array, 'B K 4']
  scores: Float[Array, 'B K']
  labels: Int[Array, 'B K']
  valid: Bool[Array, 'B K']
  masks: BoxMasks | ImageMasks | None  # None: the model has no masks
  incomplete: Bool[Array, 'B']  # pre-NMS top-k dropped candidates that could have been among the K
  mask_scores: Float[Array, 'B K'] | None = None  # scores that rank masks; None: `scores`
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
  """Training and validation split, as used by the trainer and the evaluator.

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
    """The validation split once, in order; the last batch is padded with images that are not valid."""

  def counters(self) -> Mapping[str, int]:
    """Counts of pipeline events so far, by name: objects dropped beyond `max_objects`, unreadable images, ..."""
