"""Profiles a program on a device: kernel times summed by network and named scope."""

import pathlib
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax

from jaxdet.benchmark.estimated_cycles import part_of

# '%fusion.12 = .. metadata={op_name="jit(step)/jvp(FPN)/output2/add"..}'
OPERATION = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = .*?op_name="([^";]*)')
NUMBER = re.compile(r'_(\d+)$')
TOP = 30  # kernels listed one by one


def profile(compiled: jax.stages.Compiled, call: Callable[[], Any], calls: int = 3) -> dict[str, Any]:
  """Traces calls of a compiled program.

  Args:
    compiled: the program, whose text has the scopes of operations.
    call: runs it and waits for its end.
    calls: number of traced calls.

  Returns:
    {'parts': {part: {'forward_ms', 'backward_ms'}}, the costliest first, 'kernels': [{'name', 'ms', 'part'}],
    'busy_ms': sum over all kernels}, each for one call.

  Raises:
    ValueError: the trace has no device kernels, as on a CPU.
  """
  call()
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      for _ in range(calls):
        call()
    [file] = pathlib.Path(folder).rglob('*.xplane.pb')
    times = kernel_times(jax.profiler.ProfileData.from_file(str(file)))
  if not times:
    raise ValueError('the trace holds no kernels: only GPUs and TPUs are traced kernel by kernel')
  scopes = {found[1]: found[2] for line in compiled.as_text().splitlines() if (found := OPERATION.match(line))}
  return summary({name: ns / calls / 1e6 for name, ns in times.items()}, scopes)


def kernel_times(data: jax.profiler.ProfileData) -> Counter[tuple[str, str]]:
  """Nanoseconds by (kernel, operation of the program) over all streams of the first device."""
  times = Counter()
  planes = [plane for plane in data.planes if plane.name.startswith('/device:')]
  for plane in planes[:1]:
    for line in plane.lines:
      if not line.name.startswith('Stream'):
        continue  # lines of whole steps and modules, which repeat the same time
      for event in line.events:
        operation = next((str(value) for name, value in event.stats if name == 'hlo_op'), '')
        # Kernels in a CUDA graph have only their operation's name, 'fusion_12' for 'fusion.12'.
        times[event.name, operation or NUMBER.sub(r'.\1', event.name)] += event.duration_ns
  return times


def summary(milliseconds: dict[tuple[str, str], float], scopes: dict[str, str]) -> dict[str, Any]:
  """Sums by part, and the costliest kernels.

  Args:
    milliseconds: by (kernel, operation).
    scopes: full name of each operation, with its scopes.
  """
  parts, kernels = {}, []
  for (kernel, operation), ms in milliseconds.items():
    part, backward = part_of(scopes.get(operation, ''))
    own = parts.setdefault(part, {'forward_ms': 0.0, 'backward_ms': 0.0})
    own['backward_ms' if backward else 'forward_ms'] += ms
    kernels.append({'name': kernel[:80], 'ms': ms, 'part': part})
  kernels.sort(key=lambda each: -each['ms'])
  ranked = sorted(parts, key=lambda part: -sum(parts[part].values()))
  return {
    'parts': {part: parts[part] for part in ranked},
    'kernels': kernels[:TOP],
    'busy_ms': sum(milliseconds.values()),
  }
