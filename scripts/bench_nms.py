"""Times suppression with blocks of several sizes, and with all boxes in one block, beside torchvision's.

  python scripts/bench_nms.py

Proposals: the best boxes of an RPN's five levels, 2000 of each in training and 1000 in prediction, suppressed level by
level at an IoU of 0.7. Detections: 1000 (box, class) pairs of 1203 classes, suppressed class by class at 0.5. Boxes
cluster around 100 places, like those of a trained network. One line per case: milliseconds, the fastest of a few calls.
"""

import importlib.util
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxdet.benchmark.timing import milliseconds
from jaxdet.ops import nms

CASES = {  # (groups, boxes of each, classes, IoU, survivors)
  'proposals, training': (5, 2000, 1, 0.7, 1000),
  'proposals, prediction': (5, 1000, 1, 0.7, 1000),
  'detections': (1, 1000, 1203, 0.5, 300),
}
BLOCKS = (64, 128, 256, 512, 2048)  # the last: all at once


def main() -> None:
  has_torchvision = importlib.util.find_spec('torchvision') is not None
  columns = [f'blocks of {size}' for size in BLOCKS[:-1]] + ['all at once'] + ['torchvision'] * has_torchvision
  print(f'{"":24}' + ''.join(f'{column:>16}' for column in columns))
  for name, (groups, count, classes, iou, limit) in CASES.items():
    boxes, scores, labels = crowd(groups, count, classes)
    times = [milliseconds(partial(suppression(size, iou, limit), boxes, scores, labels)) for size in BLOCKS]
    if has_torchvision:
      times.append(of_torchvision(boxes, scores, labels, iou))
    print(f'{name:24}' + ''.join(f'{value:16.2f}' for value in times), flush=True)


def crowd(groups: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Draws boxes, scores and labels of each group."""
  rng = np.random.default_rng(0)
  places = rng.uniform(0, 1000, (groups, 100, 2))
  sides = np.exp(rng.uniform(np.log(20), np.log(300), (groups, 100, 2)))
  own = rng.integers(0, 100, (groups, count))
  rows = np.arange(groups)[:, None]
  side = sides[rows, own] * rng.lognormal(0, 0.2, (groups, count, 2))
  middle = places[rows, own] + 0.15 * sides[rows, own] * rng.normal(size=(groups, count, 2))
  boxes = np.concatenate([middle - side / 2, middle + side / 2], -1).astype(np.float32)
  return boxes, rng.normal(size=(groups, count)).astype(np.float32), rng.integers(0, classes, (groups, count))


def suppression(block: int, iou: float, limit: int) -> Callable:
  """Makes a jitted `nms` of several groups with blocks of this size."""

  @jax.jit
  def suppress(boxes, scores, labels):
    nms.BLOCK = block  # read while this function is traced
    valid = jnp.ones(scores.shape, bool)
    return jax.vmap(lambda b, s, v, c: nms.nms(b, s, v, iou, c, limit))(boxes, scores, valid, labels)

  return suppress


def of_torchvision(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou: float) -> float:
  """Times torchvision's suppression as its RPN and heads call it: one call, boxes offset by group and class."""
  import torch
  import torchvision

  apart = labels + np.arange(len(boxes))[:, None] * (labels.max() + 1)
  arrays = [torch.from_numpy(x.reshape(-1, *x.shape[2:])) for x in (boxes, scores, apart)]
  return milliseconds(lambda: torchvision.ops.batched_nms(*arrays, iou))


if __name__ == '__main__':
  main()
