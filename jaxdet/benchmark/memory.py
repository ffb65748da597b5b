"""How much memory a program takes, as far as anyone counts it."""

import resource
import sys

import jax

GIB = 2**30


def peak_memory(compiled: jax.stages.Compiled) -> dict[str, float | None]:
  """GiB, by who says so; None where it does not.

  `device`: the first device's allocator, at the peak of this process. `compiler`: its account of the program, arguments
  included. `process`: the host's memory at the peak of this process, the compiler's own among it.
  """
  stats = jax.local_devices()[0].memory_stats() or {}
  counts = {
    'device': stats.get('peak_bytes_in_use'),
    'compiler': program_bytes(compiled),
    'process': process_bytes(),
  }
  return {name: None if count is None else count / GIB for name, count in counts.items()}


def program_bytes(compiled: jax.stages.Compiled) -> int | None:
  """What a program holds on a device at its peak; donated arguments count once. None: the backend does not say."""
  memory = compiled.memory_analysis()
  if memory is None:
    return None
  held = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
  return held - memory.alias_size_in_bytes


def process_bytes() -> int:
  """The resident memory of this process at its peak."""
  unit = 1 if sys.platform == 'darwin' else 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
