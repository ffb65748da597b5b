"""How long a call takes."""

import dataclasses
import statistics
import time
from collections.abc import Callable

import jax

ENOUGH = 1.0  # seconds of calls after which no more are needed
MOST = 100


@dataclasses.dataclass(frozen=True)
class Timing:
  """Seconds of one call."""

  median: float
  fastest: float
  spread: float  # between the fastest and the slowest
  calls: int


def timed(call: Callable[[], object], repeats: int, warm_up: int = 1) -> Timing:
  """Times a call that returns when its work is done.

  Args:
    call: what is timed.
    repeats: at least so many times; as often as fit into a second where it is quick.
    warm_up: calls before that, which are not counted.
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
  """The fastest of a few calls, after one that compiles; waits for the arrays that a call returns."""
  return 1e3 * timed(lambda: jax.block_until_ready(call()), repeats).fastest
