"""Chooses the images of a step's batch: a function of (seed, step) alone, the same on every host.

An epoch is a random permutation in which image i occurs floor(factor) or floor(factor) + 1 times, `factor` times in
expectation (stochastic rounding); with a factor below 1 it is in some epochs only, and an epoch may be empty. Epochs
follow each other without a gap. With two canvases the stream is split by orientation (at random if a random crop
decides the orientation), and a batch is due when its last image arrives, as in Detectron2's aspect-ratio grouping.
Images left over at the end of an epoch begin the next epoch's batches, so no image is dropped. Detectron2 groups the
stream of each worker; here there is one global stream.

To find a step, only the lengths of the epochs before it are needed: nothing is replayed on resume.
"""

import functools
import threading
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Int

Plan = Sequence[tuple[int, Int[np.ndarray, 'B']]]  # canvas and image indices of each batch; -1: no image

# Purposes of random numbers: each has its own streams.
EPOCHS, IMAGES, PASTES, CANVASES, COLOURS, SOURCES = 0, 1, 2, 3, 4, 5


def random_stream(seed: int, purpose: int, number: int) -> np.random.Generator:
  """Makes the generator of (seed, purpose, number); it is counter-based, so this takes microseconds."""
  return np.random.Generator(np.random.Philox(key=[seed, number], counter=[0, 0, 0, purpose]))


def orientations(sizes: Int[np.ndarray, 'images 2'], canvases: int) -> Int[np.ndarray, 'images']:
  """Canvas of each image: with two canvases, 0 for images wider than high and 1 for the others.

  Args:
    sizes: (height, width) of every image.
    canvases: number of canvases, 1 or 2 (wide, tall).
  """
  if canvases == 1:
    return np.zeros(len(sizes), np.int64)
  return (sizes[:, 1] <= sizes[:, 0]).astype(np.int64)


def evaluation_plan(canvas_of_image: Int[np.ndarray, 'images'], batch_size: int) -> Plan:
  """Plans batches with each image once, one canvas after the other, in order; -1 pads a canvas's last batch."""
  plan = []
  for canvas in range(int(canvas_of_image.max(initial=-1)) + 1):
    images = np.flatnonzero(canvas_of_image == canvas)
    images = np.pad(images, (0, -len(images) % batch_size), constant_values=-1)
    plan.extend((canvas, batch) for batch in images.reshape(-1, batch_size))
  return plan


class BatchSampler:
  """Chooses the canvas and the images of each step: `batch(step)`."""

  def __init__(
    self,
    factors: Float32[np.ndarray, 'images'],
    second_canvas: Int[np.ndarray, 'images'] | Float[np.ndarray, 'images'],
    batch_size: int,
    seed: int,
  ):
    """
    Args:
      factors: expected number of occurrences per epoch of each image, at least 0.
      second_canvas: probability that an image is placed on the second canvas: 0 or 1 if its shape decides.
      batch_size: over all hosts.
      seed: of the run.

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
    # Row e: number of images of each canvas in the epochs before e. Grows as later steps are requested.
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
    """Images at positions `ranks` of a canvas's endless stream."""
    first = self._before[:, canvas]
    epochs = np.searchsorted(first, ranks, side='right') - 1
    images = np.empty_like(ranks)
    for epoch in np.unique(epochs):
      here = epochs == epoch
      images[here] = self._epoch(int(epoch))[canvas][ranks[here] - first[epoch]]
    return images

  def _first_steps(self, step: int) -> Int[np.ndarray, 'epochs']:
    """First step that each epoch completes, up to the epoch after that of `step`."""
    with self._lock:
      while (self._before[-1] // self._batch_size).sum() <= step:
        _, canvases, _ = self._drawn(len(self._before) - 1)
        length = np.bincount(canvases, minlength=self._num_canvases)
        self._before = np.concatenate([self._before, self._before[-1:] + length])
      return (self._before // self._batch_size).sum(axis=1)

  def _drawn(self, epoch: int) -> tuple[Int[np.ndarray, 'length'], Int[np.ndarray, 'length'], np.random.Generator]:
    """Draws an epoch's images and their canvases, not shuffled yet, and returns the stream that shuffles them."""
    stream = random_stream(self._seed, EPOCHS, epoch)
    repeats = self._whole + (stream.random(len(self._whole), np.float32) < self._fraction)
    images = np.repeat(np.arange(len(repeats)), repeats)
    lots = random_stream(self._seed, CANVASES, epoch).random(len(images))
    return images, (lots < self._second_canvas[images]).astype(np.int64), stream

  def _in_order(self, epoch: int) -> tuple[Int[np.ndarray, 'length'], Int[np.ndarray, 'length']]:
    """Images of an epoch in order, and the canvas of each."""
    images, canvases, stream = self._drawn(epoch)
    order = stream.permutation(len(images))
    return images[order], canvases[order]

  def _compute_epoch(self, epoch: int) -> list[Int[np.ndarray, 'length']]:
    """Images of an epoch by canvas, in order."""
    images, canvases = self._in_order(epoch)
    return [images[canvases == canvas] for canvas in range(self._num_canvases)]

  def _compute_epoch_batches(self, epoch: int) -> Int[np.ndarray, 'batches 2']:
    """(canvas, batch number on it) of the batches whose last image is in this epoch, in order of that image."""
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
