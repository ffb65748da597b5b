"""Metrics of semantic segmentation, with Detectron2's numbers."""

import numpy as np
from jaxtyping import Int, Int64


def confusion(
  found: Int[np.ndarray, '*S'], truth: Int[np.ndarray, '*S'], num_classes: int, ignored: int
) -> Int64[np.ndarray, 'K K']:
  """Counts valid pixels by predicted and true class; the matrices of images add up.

  Args:
    found: predicted classes, each below `num_classes`.
    truth: annotated classes.
    num_classes: K.
    ignored: value of ignored pixels in `truth`.

  Raises:
    ValueError: sizes differ, or a class is not below `num_classes`.
  """
  if found.shape != truth.shape:
    raise ValueError(f'the prediction is of size {found.shape}, the ground truth of {truth.shape}')
  counts = truth != ignored
  found, truth = found[counts].astype(np.int64), truth[counts].astype(np.int64)
  for name, classes in (('the prediction', found), ('the ground truth', truth)):
    if classes.size and not (0 <= classes.min() and classes.max() < num_classes):
      raise ValueError(f'{name} has class {classes.max()}, where there are {num_classes}')
  pairs = num_classes * found + truth
  return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def metrics_of_classes(classes: Int[np.ndarray, 'N'], num_classes: int) -> dict[str, float | None]:
  """Metrics of a split in which exactly these classes are annotated, all found; None where there is no value."""
  matrix = np.zeros((num_classes, num_classes), np.int64)
  matrix[classes, classes] = 1
  return semantic_metrics(matrix)


def semantic_metrics(matrix: Int64[np.ndarray, 'K K']) -> dict[str, float | None]:
  """Semantic metrics of a confusion matrix, as fractions; None without valid pixels.

  Returns:
    `mIoU` and `mACC`: mean intersection over union and mean accuracy of annotated classes; `fwIoU`: mean IoU weighted
    by class frequency; `pACC`: accuracy of all pixels.
  """
  right, annotated, predicted = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
  there = annotated > 0
  if not there.any():
    return dict.fromkeys(('mIoU', 'fwIoU', 'mACC', 'pACC'))
  iou = right[there] / (annotated + predicted - right)[there]
  metrics = {
    'mIoU': iou.mean(),
    'fwIoU': (iou * (annotated[there] / annotated.sum())).sum(),
    'mACC': (right[there] / annotated[there]).mean(),
    'pACC': right.sum() / annotated.sum(),
  }
  return {name: float(value) for name, value in metrics.items()}


def iou_by_class(matrix: Int64[np.ndarray, 'K K']) -> list[float | None]:
  """Intersection over union of each class, as a fraction; None for a class without annotation."""
  right, annotated, predicted = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
  unions = annotated + predicted - right
  return [float(r / u) if n else None for r, u, n in zip(right, unions, annotated, strict=True)]
