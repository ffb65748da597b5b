"""Where compiled programs are kept, and what the log says of each."""

import logging
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jaxdet import compilation

REPOSITORY = pathlib.Path(__file__).parents[1]
PROGRAM = """
import sys
import jax, jax.numpy as jnp
from absl import logging
from jaxdet import compilation
from jaxdet.cli.log import set_up_log
set_up_log()
logging.set_verbosity(1)
compilation.use_cache(sys.argv[1])
compilation.log_compilations()

@jax.jit
def step(x, image):
  return x @ x + image.sum()

print(step(jnp.ones((3, 3)), jnp.ones((2, 4), jnp.uint8))[0, 0])
"""


def start(folder) -> subprocess.Popen:
  environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY), 'JAX_PLATFORMS': 'cpu'}
  environment['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
  command = [sys.executable, '-c', PROGRAM, str(folder)]
  return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines_of(process: subprocess.Popen) -> list[str]:
  """What the log says of the step, after a result that is right."""
  out, err = process.communicate(timeout=120)
  assert process.returncode == 0 and out == '11.0\n', err
  return [line.partition(' ')[2] for line in err.splitlines() if 'jit(step)' in line]


def test_a_program_is_compiled_once_and_read_by_the_next_process(tmp_path):
  [first] = lines_of(start(tmp_path / 'cache'))
  assert first.startswith('compiled jit(step) in ')
  assert first.endswith(' s of tracing: float32[3,3], uint8[2,4]; 2 arrays')
  [second] = lines_of(start(tmp_path / 'cache'))
  assert second.startswith('read from the cache jit(step) in ')


def test_processes_may_share_a_folder_and_damaged_files_cost_a_compilation_only(tmp_path):
  both = [start(tmp_path), start(tmp_path)]
  for process in both:
    assert len(lines_of(process)) == 1
  [file] = [path for path in tmp_path.iterdir() if path.name.startswith('jit_step')]
  file.write_bytes(file.read_bytes()[:100])
  lines = lines_of(start(tmp_path))
  assert [line for line in lines if line.startswith('compiled jit(step) in ')]


@pytest.mark.parametrize(
  'setting, environment, folder',
  [
    (None, {'XDG_CACHE_HOME': '/x', 'JAX_COMPILATION_CACHE_DIR': '/y'}, '/y'),
    ('/z', {'JAX_COMPILATION_CACHE_DIR': '/y'}, '/z'),
    ('', {'JAX_COMPILATION_CACHE_DIR': '/y'}, ''),
    (None, {'JAX_COMPILATION_CACHE_DIR': ''}, ''),
  ],
)
def test_the_config_goes_before_the_environment_and_an_empty_name_is_none(setting, environment, folder):
  assert compilation.cache_folder(setting, environment) == folder


def test_the_folder_is_the_users_own_by_default_with_a_part_for_each_kind_of_processor():
  folder = pathlib.Path(compilation.cache_folder(None, {'XDG_CACHE_HOME': '/x'}))
  assert folder.parent == pathlib.Path('/x/jaxdet/compilations') and folder.name
  at_home = pathlib.Path(compilation.cache_folder(None, {}))
  assert at_home.parent == pathlib.Path.home() / '.cache' / 'jaxdet' / 'compilations'


def test_jax_is_told_the_folder_or_that_there_is_none(tmp_path):
  before = jax.config.jax_compilation_cache_dir
  try:
    assert compilation.use_cache(str(tmp_path)) == jax.config.jax_compilation_cache_dir == str(tmp_path)
    assert compilation.use_cache('') == '' and jax.config.jax_compilation_cache_dir is None
  finally:
    jax.config.update('jax_compilation_cache_dir', before)


def test_arguments_are_told_by_the_largest_of_each_type():
  arrays = [jnp.zeros(shape, dtype) for shape, dtype in [((2, 3), 'float32'), ((7,), 'float32'), ((), 'int32')]]
  shapes = [jax.core.ShapedArray(x.shape, x.dtype) for x in arrays]
  assert compilation.describe(shapes) == 'float32[7], int32[]; 3 arrays'
  assert compilation.describe(shapes[2:]) == 'int32[]; 1 array'


def test_quick_programs_are_no_news(caplog):
  log = compilation.CompilationLog()
  with caplog.at_level(logging.INFO, logger='absl'):
    log.on_duration(compilation.COMPILED, 0.09, fun_name='jit(add)')
    log.on_duration(compilation.TRACED, 2.0, fun_name='step')
    log.on_duration(compilation.LOWERED, 1.0, fun_name='jit(step)')
    log.on_event(compilation.FOUND)
    log.on_duration(compilation.COMPILED, 0.5, fun_name='jit(step)')
  assert [record.getMessage() for record in caplog.records] == [
    'read from the cache jit(step) in 0.5 s, after 3.0 s of tracing: arguments not known'
  ]
