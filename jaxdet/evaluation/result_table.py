"""Compact columns of all records of a results file, which may be millions."""

import array
import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float, Int

from jaxdet.evaluation.ground_truth import GroundTruth, run_lengths


@dataclasses.dataclass(frozen=True)
class ResultTable:
  """N records in the order of the file, also of images and categories that are not in the ground truth."""

  image_ids: Int[np.ndarray, 'N']
  category_ids: Int[np.ndarray, 'N']
  scores: Float[np.ndarray, 'N']
  boxes: Float[np.ndarray, 'N 4']  # (x, y, width, height); NaN if a record has none
  mask_sizes: Int[np.ndarray, 'N 2']  # (height, width); 0 if a record has no mask, or polygons of an unknown image
  masks: list[bytes | None]  # COCO's compressed counts; None if a record has none, or it is not kept


def read_table(
  records: Iterable[Mapping], truth: GroundTruth, pairs: Int[np.ndarray, 'P'] | None = None
) -> ResultTable:
  """Reads records of the results format into columns.

  Args:
    records: with a 'category_name', as in predictions.json, it must be the ground truth's.
    pairs: pairs of image and category whose masks are kept; None: masks of all images in the ground truth.

  Raises:
    ValueError: a score is not a number, a record has neither 'bbox' nor 'segmentation', or the name of another
      category.
  """
  names = {category.id: category.name for category in truth.categories}
  sizes = dict(zip(truth.image_ids.tolist(), truth.image_sizes.tolist(), strict=True))
  wanted = None if pairs is None else _by_ids(truth, pairs)
  ids, numbers, mask_sizes, masks = array.array('q'), array.array('d'), array.array('i'), []
  for record in records:
    try:
      key, box, mask = (record['image_id'], record['category_id']), record.get('bbox'), record.get('segmentation')
      x, y, width, height = (np.nan,) * 4 if box is None else box
      ids.extend(key)
      numbers.extend((record['score'], x, y, width, height))
    except (KeyError, TypeError, ValueError) as error:
      raise ValueError(f'a result has no usable image_id, category_id, score and bbox: {str(record)[:200]}') from error
    name = record.get('category_name')
    if name is not None and key[1] in names and name != names[key[1]]:
      raise ValueError(
        f'the results call category {key[1]} {name!r}, and {truth.source} calls it {names[key[1]]!r}: score them '
        "against annotations with the model's categories; if both names mean the same, leave out 'category_name'"
      )
    if mask is None:
      if box is None:
        raise ValueError(f"a result of image {key[0]} has neither 'bbox' nor 'segmentation'")
      mask_sizes.extend((0, 0))
      masks.append(None)
      continue
    size = sizes.get(key[0], (0, 0))
    mask_sizes.extend(mask['size'] if isinstance(mask, Mapping) else size)
    if key[0] in sizes if wanted is None else key in wanted:
      counts = run_lengths(mask, *size)['counts']
      masks.append(counts.encode() if isinstance(counts, str) else counts)
    else:
      masks.append(None)
  image_ids, category_ids = np.asarray(ids, np.int64).reshape(-1, 2).T
  numbers = np.asarray(numbers, np.float64).reshape(-1, 5)
  scores, boxes = numbers[:, 0], numbers[:, 1:]
  if np.isnan(scores).any():
    raise ValueError(f'the score of a result of image {image_ids[np.isnan(scores).argmax()]} is not a number')
  return ResultTable(image_ids, category_ids, scores, boxes, np.asarray(mask_sizes, np.int32).reshape(-1, 2), masks)


def _by_ids(truth: GroundTruth, pairs: Int[np.ndarray, 'P']) -> set[tuple[int, int]]:
  """Converts pairs to (image id, category id)."""
  category_ids = np.asarray([category.id for category in truth.categories], np.int64)
  label, image = np.divmod(pairs, max(len(truth.image_ids), 1))
  return set(zip(truth.image_ids[image].tolist(), category_ids[label].tolist(), strict=True))
