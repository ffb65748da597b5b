"""Measures the memory of a program, as counted by device, compiler and host."""

import resource
import sys

import jax

GIB = 2**30


def peak_memory(compiled: jax.stages.Compiled) -> dict[str, float | None]:
  """Peak memory in GiB by counter; None if it does not count.

  `device`: the first device's allocator, peak of this process. `compiler`: its estimate for the program, arguments
  included. `process`: peak host memory of this process, including the compiler's.
  """
  stats = jax.local_devices()[0].memory_stats() or {}
  counts = {
    'device': stats.get('peak_bytes_in_use'),
    'compiler': program_bytes(compiled),
    'process': process_bytes(),
  }
  return {name: None if count is None else count / GIB for name, count in counts.items()}


def program_bytes(compiled: jax.stages.Compiled) -> int | None:
  """Peak device memory of a program in bytes; donated arguments count once. None: unknown to the backend."""
  memory = compiled.memory_analysis()
  if memory is None:
    return None
  held = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
  return held - memory.alias_size_in_bytes


def process_bytes() -> int:
  """Peak resident memory of this process in bytes."""
  unit = 1 if sys.platform == 'darwin' else 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
