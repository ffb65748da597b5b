"""Compilation: programs that are kept on disk from run to run, and a line in the log for each that is made."""

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
LONG = 0.1  # seconds from which on a program is in the log; quicker ones are at verbosity 1

TRACED = '/jax/core/compile/jaxpr_trace_duration'
LOWERED = '/jax/core/compile/jaxpr_to_mlir_module_duration'
COMPILED = '/jax/core/compile/backend_compile_duration'
FOUND = '/jax/compilation_cache/cache_hits'


def use_cache(setting: str | None = None) -> str:
  """Keeps compiled programs in a folder, and takes them from there; returns it, '' where there is none.

  The setting goes before the environment's JAX_COMPILATION_CACHE_DIR, this before the user's own cache folder; '' in
  either means none. Processes may share a folder: a program that one is writing is compiled by the other, and of the
  processes of one job the first alone writes.

  Args:
    setting: `config.compilation_cache`; None: it does not say.
  """
  folder = cache_folder(setting, os.environ)
  jax.config.update('jax_compilation_cache_dir', folder or None)
  return folder


def cache_folder(setting: str | None, environment: Mapping[str, str]) -> str:
  """The folder of compiled programs as `use_cache` chooses it; '' for none."""
  chosen = environment.get(VARIABLE) if setting is None else setting
  if chosen is not None:
    return os.path.expanduser(chosen)
  cache = environment.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return os.path.join(cache, 'jaxdet', 'compilations', _processor())


def log_compilations() -> None:
  """From here on every program that JAX compiles or reads from its cache has a line in the log; call it once."""
  log = CompilationLog()
  jax.monitoring.register_event_listener(log.on_event)
  jax.monitoring.register_event_duration_secs_listener(log.on_duration)
  # JAX says at this place alone what a program's arguments are.
  lowering = python_logging.getLogger('jax._src.interpreters.pxla')
  lowering.addFilter(log.on_lowering)
  lowering.setLevel(python_logging.DEBUG)


class CompilationLog:
  """Joins what JAX says of a program in several places: its arguments, whether it was found, how long it took."""

  def __init__(self):
    self._of_thread = threading.local()

  def on_lowering(self, record: python_logging.LogRecord) -> bool:
    """A filter of JAX's log, which keeps the program's arguments; whether the line is one for users."""
    if len(record.args) > 1 and str(record.msg).startswith('Compiling'):
      self._of_thread.arguments = describe(record.args[1])
    return record.levelno >= python_logging.WARNING

  def on_event(self, event: str, **of_event) -> None:
    """Takes note that a program was found in the cache."""
    if event == FOUND:
      self._of_thread.found = True

  def on_duration(self, event: str, seconds: float, **of_event) -> None:
    """Takes note of how long a program was traced, and writes the line when it is compiled."""
    known = vars(self._of_thread)
    if event == TRACED:
      known['traced'] = seconds  # of functions within functions the outermost comes last
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
  """How many arrays, and of each type the largest: 'int32[2,300], uint8[2,800,1344,3]; 1043 arrays'."""
  largest = {}
  for array in arguments:
    name = str(array.dtype)
    if math.prod(array.shape) >= math.prod(largest.get(name, ())):
      largest[name] = array.shape
  shapes = [f'{name}[{",".join(map(str, shape))}]' for name, shape in sorted(largest.items())]
  return f'{", ".join(shapes)}; {len(arguments)} array{"s" * (len(arguments) != 1)}'


def _processor() -> str:
  """A name for what this machine's processor can do, which compiled programs take for granted."""
  info = pathlib.Path('/proc/cpuinfo')
  lines = info.read_text().splitlines() if info.exists() else []
  abilities = next((line for line in lines if line.startswith(('flags', 'Features'))), platform.processor())
  return f'{platform.machine()}-{hashlib.sha256(abilities.encode()).hexdigest()[:8]}'
