"""Keeps compiled programs on disk between runs, and logs every compilation."""

import hashlib
import logging as python_logging
import math
import os
import pathlib
import platform
import threading
from collections.abc import Mapping, Sequence

import jax
from absl import logging

VARIABLE = 'JAX_COMPILATION_CACHE_DIR'
LONG = 0.1  # seconds from which a compilation is logged; shorter ones are logged at verbosity 1

TRACED = '/jax/core/compile/jaxpr_trace_duration'
LOWERED = '/jax/core/compile/jaxpr_to_mlir_module_duration'
COMPILED = '/jax/core/compile/backend_compile_duration'
FOUND = '/jax/compilation_cache/cache_hits'


def use_cache(setting: str | None = None) -> str:
  """Sets the folder of JAX's compilation cache; returns it, '' for none.

  The setting has priority over the environment's JAX_COMPILATION_CACHE_DIR, that over the user's cache folder; '' in
  either means no cache. Processes may share a folder: a program that one process is writing is compiled by the other,
  and only the first process of a job writes.

  Args:
    setting: `config.compilation_cache`; None: not set.
  """
  folder = cache_folder(setting, os.environ)
  jax.config.update('jax_compilation_cache_dir', folder or None)
  return folder


def cache_folder(setting: str | None, environment: Mapping[str, str]) -> str:
  """Folder of the compilation cache, as `use_cache` chooses it; '' for none."""
  chosen = environment.get(VARIABLE) if setting is None else setting
  if chosen is not None:
    return os.path.expanduser(chosen)
  cache = environment.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return os.path.join(cache, 'jaxdet', 'compilations', _processor())


def log_compilations() -> None:
  """Logs every program that JAX compiles or reads from its cache from now on; call it once."""
  log = CompilationLog()
  jax.monitoring.register_event_listener(log.on_event)
  jax.monitoring.register_event_duration_secs_listener(log.on_duration)
  # JAX reports a program's arguments only in this log.
  lowering = python_logging.getLogger('jax._src.interpreters.pxla')
  lowering.addFilter(log.on_lowering)
  lowering.setLevel(python_logging.DEBUG)


class CompilationLog:
  """Collects JAX's reports on a program: its arguments, whether it was cached, and the time it took."""

  def __init__(self):
    self._of_thread = threading.local()

  def on_lowering(self, record: python_logging.LogRecord) -> bool:
    """Filter of JAX's log: keeps the program's arguments; True for lines that users should see."""
    if len(record.args) > 1 and str(record.msg).startswith('Compiling'):
      self._of_thread.arguments = describe(record.args[1])
    return record.levelno >= python_logging.WARNING

  def on_event(self, event: str, **of_event) -> None:
    """Notes that a program was found in the cache."""
    if event == FOUND:
      self._of_thread.found = True

  def on_duration(self, event: str, seconds: float, **of_event) -> None:
    """Notes the tracing time of a program, and writes the line when it is compiled."""
    known = vars(self._of_thread)
    if event == TRACED:
      known['traced'] = seconds  # of nested functions the outermost comes last
    if event == LOWERED:
      known['traced'] = known.get('traced', 0.0) + seconds
    if event != COMPILED:
      return
    found, arguments = known.pop('found', False), known.pop('arguments', 'arguments not known')
    traced = known.pop('traced', 0.0)
    level = logging.INFO if max(seconds, traced) >= LONG else logging.DEBUG
    verb = 'read from the cache' if found else 'compiled'
    name = of_event.get('fun_name', 'a program')
    logging.log(level, '%s %s in %.1f s, after %.1f s of tracing: %s', verb, name, seconds, traced, arguments)


def describe(arguments: Sequence[jax.core.ShapedArray]) -> str:
  """Describes arguments by the largest array of each type, and their number: 'int32[2,300]; 1043 arrays'."""
  largest = {}
  for array in arguments:
    name = str(array.dtype)
    if math.prod(array.shape) >= math.prod(largest.get(name, ())):
      largest[name] = array.shape
  shapes = [f'{name}[{",".join(map(str, shape))}]' for name, shape in sorted(largest.items())]
  return f'{", ".join(shapes)}; {len(arguments)} array{"s" * (len(arguments) != 1)}'


def _processor() -> str:
  """Name of this processor's instruction set, which compiled programs depend on."""
  info = pathlib.Path('/proc/cpuinfo')
  lines = info.read_text().splitlines() if info.exists() else []
  abilities = next((line for line in lines if line.startswith(('flags', 'Features'))), platform.processor())
  return f'{platform.machine()}-{hashlib.sha256(abilities.encode()).hexdigest()[:8]}'
