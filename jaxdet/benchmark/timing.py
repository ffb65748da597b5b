"""Times calls."""

import dataclasses
import statistics
import time
from collections.abc import Callable

import jax

ENOUGH = 1.0  # seconds of calls after which timing stops
MOST = 100


@dataclasses.dataclass(frozen=True)
class Timing:
  """Seconds per call."""

  median: float
  fastest: float
  spread: float  # difference of the slowest and the fastest
  calls: int


def timed(call: Callable[[], object], repeats: int, warm_up: int = 1) -> Timing:
  """Times a call that returns when its work is done.

  Args:
    call: the function to time.
    repeats: least number of calls; fast calls are repeated for a second.
    warm_up: number of calls before timing.
  """
  for _ in range(warm_up):
    call()
  seconds = []
  while len(seconds) < repeats or (sum(seconds) < ENOUGH and len(seconds) < MOST):
    started = time.perf_counter()
    call()
    seconds.append(time.perf_counter() - started)
  return Timing(statistics.median(seconds), min(seconds), max(seconds) - min(seconds), len(seconds))


def milliseconds(call: Callable[[], object], repeats: int = 5) -> float:
  """Milliseconds of the fastest of a few calls, after one that compiles; waits for the returned arrays."""
  return 1e3 * timed(lambda: jax.block_until_ready(call()), repeats).fastest
