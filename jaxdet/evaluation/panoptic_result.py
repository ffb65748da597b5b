"""Converts one image's detections to semantic and panoptic maps in pixels of its file."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from jaxdet.evaluation.image_results import MASK_THRESHOLD, rescale
from jaxdet.ops.image_masks import image_mask_window
from jaxdet.ops.panoptic_merge import Segment, merge
from jaxdet.ops.paste import Window, paste_window
from jaxdet.ops.semantic_map import semantic_classes
from jaxdet.structures import Batch, Detections, ImageMasks


def semantic_result(batch: Batch, detections: Detections, image: int) -> Int[np.ndarray, 'H W']:
  """Computes the class of every pixel of an image's file, int32.

  Raises:
    ValueError: the detector has no semantic task.
  """
  check_semantic(detections)
  canvas, sizes = batch.image.shape[1:3], (batch.image_size[image], batch.original_size[image])
  return semantic_classes(detections.semantic[image], canvas, *(tuple(map(int, size)) for size in sizes))


def panoptic_result(
  batch: Batch,
  detections: Detections,
  image: int,
  semantic: Int[np.ndarray, 'H W'],
  settings: Mapping[str, float],
) -> tuple[Int[np.ndarray, 'H W'], list[Segment]]:
  """Computes the segment id of every pixel of an image's file, and the segments; see `merge`.

  Args:
    batch, detections: NumPy arrays.
    image: position in the batch.
    semantic: `semantic_result` of the image.
    settings: `config.model.test.panoptic`, for `merge`.

  Raises:
    ValueError: the detector has no masks.
  """
  check_masks(detections)
  valid = np.asarray(detections.valid[image])
  scores, labels = detections.scores[image][valid], detections.labels[image][valid]
  return merge(_windows(batch, detections, image), scores, labels, semantic, **settings)


def check_semantic(detections: Detections) -> None:
  """Raises a ValueError if the detector has no semantic task."""
  if detections.semantic is None:
    raise ValueError('the detector says nothing of the classes of pixels: it needs model.pyramid_tasks.semantic')


def check_masks(detections: Detections) -> None:
  """Raises a ValueError if the detector has no masks."""
  if detections.masks is None:
    raise ValueError('the detector has no masks, of which panoptic results are made: it needs a mask task')


def _windows(batch: Batch, detections: Detections, image: int) -> list[Window]:
  """Masks of the valid detections in pixels of the file; empty for boxes without area."""
  valid = np.asarray(detections.valid[image])
  height, width = map(int, batch.original_size[image])
  boxes = rescale(detections.boxes[image][valid], batch.image_size[image], batch.original_size[image])
  masks = np.asarray(detections.masks.probabilities[image][valid], np.float32)
  if not isinstance(detections.masks, ImageMasks):
    return [paste_window(mask, box, height, width, MASK_THRESHOLD) for mask, box in zip(masks, boxes, strict=True)]
  extent = np.asarray(batch.image.shape[1:3]) * batch.original_size[image] / batch.image_size[image]
  return [
    image_mask_window(mask, box, extent, height, width, MASK_THRESHOLD)
    if (box[2:] > box[:2]).all()
    else (np.zeros((0, 0), bool), (0, 0))
    for mask, box in zip(masks, boxes, strict=True)
  ]
