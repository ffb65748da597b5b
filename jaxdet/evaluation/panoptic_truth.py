"""Checks the panoptic annotations of a split before there are results to compare with them."""

import concurrent.futures

import numpy as np
from jaxtyping import Int

from jaxdet.annotations import panoptic
from jaxdet.annotations.panoptic import PanopticAnnotations
from jaxdet.evaluation.ground_truth import GroundTruth
from jaxdet.evaluation.semantic_evaluator import check_size


def check_images(truth: PanopticAnnotations, objects: GroundTruth) -> tuple[Int[np.ndarray, 'C'], Int[np.ndarray, 'K']]:
  """Reads the PNG of every image of a split.

  Args:
    truth: panoptic annotations.
    objects: annotations of the same split's boxes and masks.

  Returns:
    Positions of the categories in `truth.categories` that have segments which count, and classes of pixels, as in
    semantic maps.

  Raises:
    ValueError: an image has no annotation, its PNG is broken or of another size, or a segment has no area.
    FileNotFoundError: a PNG is missing.
  """

  def one_image(image_id: int) -> tuple[set[int], Int[np.ndarray, 'K']]:
    image, ids = truth.of(image_id), truth.ids(image_id)
    check_size(image.file_name, ids.shape, objects, image_id)
    if lacking := [segment.id for segment in image.segments if segment.area is None and not segment.is_crowd]:
      raise ValueError(f'{truth.path}: segment {lacking[0]} of image {image_id} has no area')
    classes = np.unique(panoptic.semantic_map(ids, image.segments, truth.categories))
    return {segment.category_id for segment in image.segments if not segment.is_crowd}, classes

  with concurrent.futures.ThreadPoolExecutor() as pool:
    found = list(pool.map(one_image, objects.image_ids.tolist()))
  annotated = set().union(*(categories for categories, _ in found))
  classes = np.unique(np.concatenate([np.zeros(0, np.uint8), *(classes for _, classes in found)]))
  positions = [k for k, category in enumerate(truth.categories) if category.id in annotated]
  return np.asarray(positions, np.int64), classes[classes != panoptic.IGNORED].astype(np.int64)
