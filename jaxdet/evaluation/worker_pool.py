"""Pool of processes that paste and encode masks while the device works.

Threads alone would block each other, since much of this is short NumPy calls, and `multiprocessing` would import the
main program with jax in each process. So each thread here has its own process, and communicates by pipe.
"""

import concurrent.futures
import contextlib
import importlib.util
import os
import pathlib
import pickle
import subprocess
import sys
import threading

import numpy as np
from jaxtyping import Float, Int

from jaxdet.evaluation import image_results

MOST = 16  # processes; the input pipeline needs cores too

PACKAGES = ('jaxdet', 'numpy', 'pycocotools', 'jaxtyping', 'wadler_lindig')  # of a worker; the last is jaxtyping's
# By path, since by name Python would import the whole package and jax.
PROGRAM = 'import runpy, sys; sys.path += sys.argv[2:]; runpy.run_path(sys.argv[1], run_name="__main__")'


class WorkerPool:
  """Pool of workers; `submit` takes an image's detections and returns a future of its lines of the results file."""

  def __init__(self, size: int | None = None):
    """`size`: number of processes; None: half of the cores."""
    self.size = size or max(1, min(MOST, (os.cpu_count() or 1) // 2))
    self._local = threading.local()
    self._processes: list[subprocess.Popen] = []
    self._threads = concurrent.futures.ThreadPoolExecutor(self.size, initializer=self._start)

  def submit(
    self,
    boxes: Float[np.ndarray, 'K 4'],
    scores: Float[np.ndarray, 'K'],
    labels: Int[np.ndarray, 'K'],
    masks: Float[np.ndarray, 'K h w'] | None,
    covered: tuple[int, int] | None,
    image_size: Int[np.ndarray, '2'],
    original_size: Int[np.ndarray, '2'],
    image_id: int,
    category_ids: list[int],
  ) -> concurrent.futures.Future:
    """Returns a future of `results_lines` of these arguments; it raises the worker's exceptions."""
    task = (boxes, scores, labels, masks, covered, image_size, original_size, image_id, category_ids)
    return self._threads.submit(self._ask, task)

  def close(self) -> None:
    """Drops tasks that have not begun, waits for the others and ends the processes."""
    self._threads.shutdown(cancel_futures=True)
    for process in self._processes:
      with contextlib.suppress(BrokenPipeError):  # the process has ended already
        process.stdin.close()
      process.stdout.close()
      process.wait()

  def _start(self) -> None:
    # The matrices are small: BLAS threads would only wait for each other.
    environment = os.environ | {'OPENBLAS_NUM_THREADS': '1'}
    command = [sys.executable, '-I', '-S', '-c', PROGRAM, image_results.__file__, *import_folders()]
    self._local.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    self._processes.append(self._local.process)

  def _ask(self, task: tuple) -> str:
    process = self._local.process
    try:
      pickle.dump(task, process.stdin, pickle.HIGHEST_PROTOCOL)
      process.stdin.flush()
      answer = pickle.load(process.stdout)
    except (EOFError, BrokenPipeError) as error:
      raise RuntimeError(f'a process that pastes masks has ended with code {process.wait()}') from error
    if isinstance(answer, Exception):
      raise answer
    return answer


def import_folders() -> list[str]:
  """Folders of the packages that a worker imports; Python's own modules go before them.

  A worker takes over neither `sys.path` nor PYTHONPATH, since packages may add folders to them whose modules have the
  names of Python's own.
  """
  specs = filter(None, map(importlib.util.find_spec, PACKAGES))
  return list(dict.fromkeys(str(pathlib.Path(spec.origin).parents[1]) for spec in specs))
