"""Draws detections on their images."""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from pycocotools import mask as rle_codec

from jaxdet.evaluation.ground_truth import GroundTruth, run_lengths
from jaxdet.evaluation.results import read_results
from jaxdet.structures import Batch, Category
from jaxdet.visualization.draw import draw_detections, side_by_side

Picture = UInt8[np.ndarray, 'H W 3']


def image_of(batch: Batch, i: int) -> Picture:
  """Image `i` of a batch without its padding, in the size of its file."""
  height, width = batch.image_size[i]
  original_height, original_width = (int(v) for v in batch.original_size[i])
  image = Image.fromarray(np.asarray(batch.image[i, :height, :width]))
  return np.asarray(image.resize((original_width, original_height), Image.Resampling.BICUBIC))


def draw_results(image: Picture, records: Sequence[dict], categories: Sequence[Category]) -> Picture:
  """Draws records of the results or annotation format on their image, with their 'score' if they have one."""
  boxes = np.asarray([record['bbox'] for record in records], np.float64).reshape(-1, 4)
  boxes[:, 2:] += boxes[:, :2]
  segmentations = [record.get('segmentation') for record in records]
  masks = None
  if records and all(segmentation is not None for segmentation in segmentations):
    masks = _Masks(segmentations, *image.shape[:2])
  return draw_detections(
    image,
    boxes,
    [record['category_id'] for record in records],
    [record['score'] for record in records] if records and 'score' in records[0] else None,
    masks,
    {category.id: category.name for category in categories},
  )


class _Masks(Sequence):
  """Decodes the mask of one record at a time: all masks of a large image would not fit into memory."""

  def __init__(self, segmentations: Sequence, height: int, width: int):
    self._segmentations, self._size = segmentations, (height, width)

  def __len__(self) -> int:
    return len(self._segmentations)

  def __getitem__(self, i: int) -> Bool[np.ndarray, 'H W']:
    return rle_codec.decode(run_lengths(self._segmentations[i], *self._size)).view(bool)


class FirstImages:
  """Keeps the first images of this process, and draws them when the results are complete."""

  def __init__(self, count: int):
    self._count = count
    self._images: dict[int, Picture] = {}  # by position in the split

  def add(self, batch: Batch) -> None:
    for i in np.flatnonzero(batch.valid)[: self._count - len(self._images)]:
      self._images[int(batch.index[i])] = image_of(batch, i)

  def draw(
    self, image_ids: Sequence[int], truth: GroundTruth, results_path: str, threshold: float, folder: str
  ) -> None:
    """Writes `<image id>.jpg`: ground truth on the left, detections with a score from `threshold` on the right.

    Args:
      image_ids: of the split, in its order.
      results_path: a results file.
    """
    if not self._images:
      return
    os.makedirs(folder, exist_ok=True)
    records = {int(image_ids[index]): [] for index in self._images}
    for record in read_results(results_path, records):
      if record['score'] >= threshold:
        records[record['image_id']].append(record)
    for index, image in self._images.items():
      image_id = int(image_ids[index])
      left = draw_results(image, objects_of(truth, image_id), truth.categories)
      right = draw_results(image, records[image_id], truth.categories)
      sheet = side_by_side(left, right, ('ground truth', f'detections, score at least {100 * threshold:.0f}'))
      Image.fromarray(sheet).save(os.path.join(folder, f'{image_id}.jpg'), quality=92)


def objects_of(truth: GroundTruth, image_id: int) -> list[dict]:
  """Objects of an image in the annotation format."""
  return [
    {
      'category_id': truth.categories[truth.label[i]].id,
      'bbox': truth.boxes[i],
      'segmentation': truth.segmentations[i],
    }
    for i in np.flatnonzero(truth.image_ids[truth.image] == image_id)
  ]
