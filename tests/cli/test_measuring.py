"""The command as a user meets it, on a machine without the packages that only data and checkpoints need."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from benchmark_records import jaxdet_record
from jaxdet.benchmark import page

REPOSITORY = pathlib.Path(__file__).parents[2]
CONFIG = f'--config={REPOSITORY}/configs/lvis_maskrcnn.py:mini'
NOT_NEEDED = ('tensorflow', 'torch', 'orbax', 'pycocotools', 'PIL', 'tensorflow_datasets')
QUICK = {'XLA_FLAGS': '--xla_backend_optimization_level=0'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('bench')
  for name in NOT_NEEDED:
    (folder / f'{name}.py').write_text(f'raise ImportError("{name} is not there")\n')
  return folder


def bench(folder, *arguments: str, program=('-m', 'jaxdet.main', 'bench')) -> subprocess.CompletedProcess:
  path = os.pathsep.join([str(folder), str(REPOSITORY)])
  environment = {**os.environ, 'PYTHONPATH': path, 'JAX_PLATFORMS': 'cpu', **QUICK}
  command = [sys.executable, *program, *arguments]
  return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_measures_prints_and_keeps_records_and_writes_a_page(folder):
  (folder / 'page.md').write_text(f'{page.BEGIN}\n{page.END}\n')
  sizes = {'proposals.channels': 8, 'backbone.stem_width': 8, 'neck.channels': 16}
  smaller = [f'--config.model.{key}={size}' for key, size in sizes.items()]
  arguments = [CONFIG, *smaller, '--tasks=predict', '--canvas=64x96', '--objects=3', '--repeats=1']
  script = (str(REPOSITORY / 'scripts' / 'bench.py'),)
  done = bench(folder, *arguments, '--json=out.json', '--docs=page.md', program=script)
  assert done.returncode == 0, done.stderr
  assert 'lvis_maskrcnn.py:mini: 2 images of 64 x 96, 3 objects each, 48 classes' in done.stdout
  [record] = [json.loads(line) for line in (folder / 'out.json').read_text().splitlines()]
  assert (record['kind'], record['task'], record['mode']) == ('program', 'predict', 'float32')
  assert record['device']['backend'] == 'cpu' and record['step_s'] > 0
  assert record['command'].startswith('python -m jaxdet.main bench --config=')
  assert '| jaxdet float32 |' in (folder / 'page.md').read_text()


def test_a_page_is_written_from_records_alone(folder):
  (folder / 'other.md').write_text(f'{page.BEGIN}\n{page.END}\n')
  (folder / 'other.json').write_text(json.dumps(jaxdet_record()) + '\n')
  done = bench(folder, '--docs=other.md', '--json=other.json')
  assert done.returncode == 0, done.stderr
  assert '| jaxdet float32 | 2 (0.12) |' in (folder / 'other.md').read_text()


@pytest.mark.parametrize(
  'arguments, error',
  [
    ([], 'bench needs a config: --config'),
    ([CONFIG, '--dtype=float16'], "unknown --dtype 'float16': choose float32 or bfloat16"),
    ([CONFIG, '--tasks=learn'], "unknown task 'learn' in --tasks: choose of train, predict"),
    ([CONFIG, '--canvas=100x100'], "--canvas is '100x100': give HEIGHTxWIDTH in multiples of 32"),
    ([CONFIG, '--vs=torchvision', '--modes=fast'], "unknown mode 'fast' of torchvision"),
    ([CONFIG, '--vs=torchvision'], 'torchvision has no two_stage on a fpn neck and this backbone (depth 18)'),
    ([CONFIG, '--objects=13'], '13 objects an image, and data.max_objects is 12'),
    (['--docs=page.md'], '--docs writes what --json holds: give --json FILE'),
  ],
)
def test_a_mistake_ends_in_one_line(folder, arguments, error):
  done = bench(folder, *arguments)
  assert done.returncode == 2
  assert done.stderr.startswith('error: ') and error in done.stderr and done.stderr.count('\n') == 1


def test_a_missing_torch_ends_in_one_line(folder):
  arguments = [CONFIG, '--vs=torchvision', '--torchvision_model=maskrcnn_resnet50_fpn']
  done = bench(folder, *arguments)
  assert done.returncode == 2
  assert 'has no torch and torchvision (ImportError: torch is not there): pip install torch torchvision' in done.stderr
