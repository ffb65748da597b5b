"""Which images make up the batch of a step: a function of (seed, step) alone, the same on every host.

An epoch is a random permutation in which image i stands floor(factor) or floor(factor) + 1 times, so that it
stands `factor` times in expectation (stochastic rounding); with a factor below 1 it is in some epochs only, and an
epoch may be empty. Epochs follow each other without a gap. Where there are two canvases, the stream is split by
orientation (by lot where a random crop decides on it) and a batch takes the place at which its last image arrives, as
in Detectron2's aspect-ratio grouping; what an epoch leaves over opens the next one's batches, so nothing is ever
dropped. Detectron2 groups the stream of each worker, here it is the one global stream.

To find a step, only the lengths of the epochs before it are needed: nothing is replayed on resume.
"""

import functools
import threading
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Int

Plan = Sequence[tuple[int, Int[np.ndarray, 'B']]]  # of each batch its canvas and its images; -1: no image

# The purposes of random numbers: each has streams of its own.
EPOCHS, IMAGES, PASTES, CANVASES, COLOURS, SOURCES = 0, 1, 2, 3, 4, 5


def random_stream(seed: int, purpose: int, number: int) -> np.random.Generator:
  """The generator that belongs to (seed, purpose, number); counter-based, so made in microseconds."""
  return np.random.Generator(np.random.Philox(key=[seed, number], counter=[0, 0, 0, purpose]))


def orientations(sizes: Int[np.ndarray, 'images 2'], canvases: int) -> Int[np.ndarray, 'images']:
  """The canvas of each image: with two, 0 for images wider than high and 1 for the others.

  Args:
    sizes: (height, width) of every image.
    canvases: 1 or 2, how many there are; wide ones first.
  """
  if canvases == 1:
    return np.zeros(len(sizes), np.int64)
  return (sizes[:, 1] <= sizes[:, 0]).astype(np.int64)


def evaluation_plan(canvas_of_image: Int[np.ndarray, 'images'], batch_size: int) -> Plan:
  """Each image once: canvas after canvas, on each in order, its last batch filled up with -1."""
  plan = []
  for canvas in range(int(canvas_of_image.max(initial=-1)) + 1):
    images = np.flatnonzero(canvas_of_image == canvas)
    images = np.pad(images, (0, -len(images) % batch_size), constant_values=-1)
    plan.extend((canvas, batch) for batch in images.reshape(-1, batch_size))
  return plan


class BatchSampler:
  """`batch(step)` says which canvas a step uses and which images it sees."""

  def __init__(
    self,
    factors: Float32[np.ndarray, 'images'],
    second_canvas: Int[np.ndarray, 'images'] | Float[np.ndarray, 'images'],
    batch_size: int,
    seed: int,
  ):
    """Images are those of `factors`, none of which is negative; `batch_size` is over all hosts.

    `second_canvas` is the probability that an image is shown on the second canvas: 0 or 1 where its shape says so.

    Raises:
      ValueError: there are no images, or all have factor 0.
    """
    if not np.sum(factors) > 0:
      raise ValueError('the training split holds no images, or none that the sampler draws')
    self._whole = np.floor(factors).astype(np.int64)
    self._fraction = factors - np.floor(factors)
    self._second_canvas = second_canvas
    self._num_canvases = 1 + int(second_canvas.max() > 0)
    self._batch_size = batch_size
    self._seed = seed
    # Row e: how many images of each canvas the epochs before e hold. Grows as steps are asked for.
    self._before = np.zeros((1, self._num_canvases), np.int64)
    self._lock = threading.Lock()
    self.batch = functools.lru_cache(maxsize=64)(self._batch)
    self._epoch = functools.lru_cache(maxsize=4)(self._compute_epoch)
    self._epoch_batches = functools.lru_cache(maxsize=4)(self._compute_epoch_batches)

  def _batch(self, step: int) -> tuple[int, Int[np.ndarray, 'B']]:
    """(canvas, image indices) of a step's global batch, in order."""
    if step < 0:
      raise ValueError(f'step {step} is negative')
    first_steps = self._first_steps(step)
    epoch = int(np.searchsorted(first_steps, step, side='right')) - 1
    canvas, batch = self._epoch_batches(epoch)[step - first_steps[epoch]]
    ranks = batch * self._batch_size + np.arange(self._batch_size)
    return int(canvas), self._images(int(canvas), ranks)

  def _images(self, canvas: int, ranks: Int[np.ndarray, 'B']) -> Int[np.ndarray, 'B']:
    """The images at these places of a canvas's endless stream."""
    first = self._before[:, canvas]
    epochs = np.searchsorted(first, ranks, side='right') - 1
    images = np.empty_like(ranks)
    for epoch in np.unique(epochs):
      here = epochs == epoch
      images[here] = self._epoch(int(epoch))[canvas][ranks[here] - first[epoch]]
    return images

  def _first_steps(self, step: int) -> Int[np.ndarray, 'epochs']:
    """The first step that each epoch completes, up to the epoch behind that of `step`."""
    with self._lock:
      while (self._before[-1] // self._batch_size).sum() <= step:
        _, canvases, _ = self._drawn(len(self._before) - 1)
        length = np.bincount(canvases, minlength=self._num_canvases)
        self._before = np.concatenate([self._before, self._before[-1:] + length])
      return (self._before // self._batch_size).sum(axis=1)

  def _drawn(self, epoch: int) -> tuple[Int[np.ndarray, 'length'], Int[np.ndarray, 'length'], np.random.Generator]:
    """An epoch's images and the canvas of each, not yet in its order, and the stream that order is drawn from."""
    stream = random_stream(self._seed, EPOCHS, epoch)
    repeats = self._whole + (stream.random(len(self._whole), np.float32) < self._fraction)
    images = np.repeat(np.arange(len(repeats)), repeats)
    lots = random_stream(self._seed, CANVASES, epoch).random(len(images))
    return images, (lots < self._second_canvas[images]).astype(np.int64), stream

  def _in_order(self, epoch: int) -> tuple[Int[np.ndarray, 'length'], Int[np.ndarray, 'length']]:
    """The images of an epoch in order, and the canvas of each."""
    images, canvases, stream = self._drawn(epoch)
    order = stream.permutation(len(images))
    return images[order], canvases[order]

  def _compute_epoch(self, epoch: int) -> list[Int[np.ndarray, 'length']]:
    """The images of an epoch by canvas, in order."""
    images, canvases = self._in_order(epoch)
    return [images[canvases == canvas] for canvas in range(self._num_canvases)]

  def _compute_epoch_batches(self, epoch: int) -> Int[np.ndarray, 'batches 2']:
    """(canvas, its batch's number) of the batches whose last image is in this epoch, in order of that image."""
    _, canvas_at = self._in_order(epoch)
    ends = []
    for canvas in range(self._num_canvases):
      places = np.flatnonzero(canvas_at == canvas)
      count = self._before[epoch, canvas] + 1 + np.arange(len(places))
      full = count % self._batch_size == 0
      numbers = count[full] // self._batch_size - 1
      ends.append(np.stack([places[full], np.full(len(numbers), canvas), numbers], axis=1))
    ends = np.concatenate(ends)
    return ends[np.argsort(ends[:, 0])][:, 1:]
