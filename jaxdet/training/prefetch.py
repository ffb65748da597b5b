"""The next batch is read and copied to the devices while the present one is computed."""

import queue
import threading
import time
from collections.abc import Iterator

import jax
from jax.sharding import Mesh

from jaxdet.sharding import put_batch
from jaxdet.structures import Batch


class Prefetcher:
  """Takes batches from an iterator in a thread and holds one ready on the devices.

  `waited` is the time in seconds that the devices stood idle for want of a batch. An exception of the
  iterator is raised again by `next_batch`.
  """

  def __init__(self, batches: Iterator[Batch], mesh: Mesh):
    self.waited = 0.0
    self._ready = queue.Queue(maxsize=1)
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._fill, args=(batches, mesh), daemon=True, name='prefetch')
    self._thread.start()

  def next_batch(self, running: jax.Array | None = None) -> Batch:
    """The next batch; `running` is a result of what the devices now compute, if anything."""
    # Up to the end of the running step a wait costs nothing.
    while self._ready.empty() and running is not None and not running.is_ready():
      time.sleep(0.0005)
    started = time.perf_counter()
    batch, error = self._ready.get()
    self.waited += time.perf_counter() - started
    if error is not None:
      raise error
    return batch

  def close(self) -> None:
    """Stops reading, after the batch under way if there is one; batches not yet used are lost.

    It waits for the thread: one that frees device arrays while the interpreter goes down aborts the process.
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
    except Exception as caught:  # of any kind: it belongs to the thread that waits
      error = caught
    self._put((None, error))

  def _put(self, item: tuple) -> None:
    while not self._stop.is_set():
      try:
        return self._ready.put(item, timeout=0.1)
      except queue.Full:
        continue
