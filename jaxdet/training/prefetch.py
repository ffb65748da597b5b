"""Reads the next batch and copies it to the devices during the current step."""

import queue
import threading
import time
from collections.abc import Iterator

import jax
from jax.sharding import Mesh

from jaxdet.sharding import put_batch
from jaxdet.structures import Batch


class Prefetcher:
  """Takes batches from an iterator in a thread and keeps one ready on the devices.

  `waited` is the time in seconds that the devices waited for a batch. `next_batch` raises exceptions of the iterator.
  """

  def __init__(self, batches: Iterator[Batch], mesh: Mesh):
    self.waited = 0.0
    self._ready = queue.Queue(maxsize=1)
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._fill, args=(batches, mesh), daemon=True, name='prefetch')
    self._thread.start()

  def next_batch(self, running: jax.Array | None = None) -> Batch:
    """Returns the next batch; `running` is a result of the step that the devices compute now, if any."""
    # Waiting until the end of the running step is not counted.
    while self._ready.empty() and running is not None and not running.is_ready():
      time.sleep(0.0005)
    started = time.perf_counter()
    batch, error = self._ready.get()
    self.waited += time.perf_counter() - started
    if error is not None:
      raise error
    return batch

  def close(self) -> None:
    """Stops reading, after the current batch; unused batches are lost.

    Waits for the thread: freeing device arrays during interpreter shutdown would abort the process.
    """
    self._stop.set()
    self._thread.join()

  def _fill(self, batches: Iterator[Batch], mesh: Mesh) -> None:
    try:
      for batch in batches:
        self._put((put_batch(batch, mesh), None))
        if self._stop.is_set():
          return
      error = ValueError('the training batches ended; Dataset.train_batches must be endless')
    except Exception as caught:  # of any kind: next_batch raises it in the waiting thread
      error = caught
    self._put((None, error))

  def _put(self, item: tuple) -> None:
    while not self._stop.is_set():
      try:
        return self._ready.put(item, timeout=0.1)
      except queue.Full:
        continue
