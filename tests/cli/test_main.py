"""The command line as a user meets it: mistakes end in one line, and a checkpoint needs no config."""

import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
CONFIG = str(REPOSITORY / 'configs' / 'lvis_maskrcnn.py')
UNWANTED = ('tensorflow', 'tensorflow_datasets', 'cv2', 'torch')  # heavy, or in need of libraries of the system


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('main')


@pytest.fixture(scope='module')
def decoys(tmp_path_factory):
  """A folder of modules under unwanted names; each writes its name to the file `imported` when it is imported."""
  decoys = tmp_path_factory.mktemp('decoys')
  for name in UNWANTED:
    code = (
      f'with open({str(decoys / "imported")!r}, "a") as file:\n  file.write("{name}\\n")\nraise ImportError("decoy")\n'
    )
    (decoys / f'{name}.py').write_text(code)
  return decoys


def jaxdet(folder, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
  environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY), 'JAX_PLATFORMS': 'cpu', **environment}
  command = [sys.executable, '-m', 'jaxdet.main', *arguments]
  return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
  ('arguments', 'error'),
  [
    (
      ['--workdir=x', f'--config={CONFIG}:mini', '--config.train.stepz=3'],
      "unknown config key 'train.stepz'; the nearest is 'train.steps'",
    ),
    (
      ['train', '--workdir', 'x', '--config', CONFIG, '--config.model.proposals.weigth', '3'],
      "unknown config key 'model.proposals.weigth'; the nearest is",
    ),
    (
      ['--workdir=x', f'--config={CONFIG}:minni'],
      "unknown version 'minni' of a config: choose one of v1, v0.5, mini",
    ),
    (
      ['--workdir=x', f'--config={CONFIG}:mini', '--config.eval.protocol=lvsi'],
      "unknown eval.protocol 'lvsi'; the nearest is 'lvis', of coco, lvis",
    ),
    (
      ['--workdir=x', f'--config={CONFIG}:mini,smapler=rfs'],
      "unknown argument 'smapler=rfs' of a config; the nearest is",
    ),
    (['--workdir=x', f'--config={CONFIG}', '--config.train.steps=many'], 'flag --config.train.steps=many: invalid'),
    (
      ['--workdir=x', f'--config={CONFIG}:mini', '--config.train.batch_size=0', '--config.data.flip=nan'],
      'the config has 2 settings out of range: data.flip is nan: give a number from 0 to 1 (a probability); train.',
    ),
    (['counts', f'--config={CONFIG}:mini', '--config.data.canvases=()'], 'data.canvases is (): give a tuple of'),
    (['--workdir=x', f'--config={CONFIG[:-3]}s.py'], f'lvis_maskrcnns.py; the nearest is {CONFIG}'),
    (['--workdir=x', '--config'], '--config has no value: give FILE[:VARIANT]'),
    (
      ['--workdir=x', '--config.train.steps=3'],
      "'--config.train.steps' changes a value of a config, and there is none",
    ),
    (['tarin', '--workdir=x'], "unknown command 'tarin'; the nearest is 'train', of train, eval, predict"),
    (['evall', '--help'], "unknown command 'evall'; the nearest is 'eval'"),
    (['train', '--workdir=x'], 'train needs --config FILE[:VARIANT]'),
    (['train', f'--config={CONFIG}:mini', '--wrokdir=x'], "train has no flag '--wrokdir'; the nearest is '--workdir'"),
    (['eval', '--workdir=x', '--flops'], "eval has no flag '--flops'; the nearest is '--"),
    (['zoo', f'--config={CONFIG}'], "zoo has no flag '--config'; the nearest is '--"),
    (['counts'], 'counts needs --config FILE[:VARIANT]'),
    (['counts', f'--config={CONFIG}', '--config.data.dir=nowhere'], 'no annotation file: none of nowhere/annotations/'),
    (['counts', 'train.json', f'--config={CONFIG}'], "counts takes flags only, not 'train.json'"),
    (['zoo', 'nothing'], "no model of configs/zoo.csv matches 'nothing'; the nearest is '"),
    (['eval'], 'eval needs --workdir DIR, folder of the run'),
    (['predict', '--workdir=x'], 'predict needs IMAGE|FOLDER|LIST.txt .., images'),
    (['predict', '--workdir=x', 'no.jpg'], 'no.jpg'),
    (['eval', '--workdir=x'], 'no checkpoint in'),
    (
      ['import', '--workdir=x', 'weights.pkl'],
      'import needs --from PROGRAM, the program that wrote the file: one of det',
    ),
    (
      ['import', '--workdir=x', '--from=mmdett', 'a.pkl'],
      "unknown --from 'mmdett'; the nearest is 'mmdet', of detectron2",
    ),
    (['import', '--workdir=x', '--from=mmdet', 'a.pkl', 'b.pkl'], "import takes one FILE, and 'b.pkl' is one more"),
    (['import', '--workdir=x', '--from=mmdet', f'--config={CONFIG}:mini', 'no.pth'], 'there is no file no.pth'),
    (['export', '--workdir=x', '--output=x.pth'], 'export needs --to PROGRAM, the program that will read the file'),
    (['export', '--workdir=x', '--to=mmdet', '--output=x.pth'], 'no checkpoint in'),
    (['export', '--workdir=x', '--to=stablehlo', '--output=x', '--batch_size=0'], 'flag --batch_size=0'),
  ],
)
def test_a_mistake_ends_in_one_line(folder, arguments, error):
  done = jaxdet(folder, *arguments)
  assert done.returncode == 2
  assert done.stderr.startswith('error: ')
  assert error in done.stderr
  assert done.stderr.count('\n') == 1
  assert 'Traceback' not in done.stderr


def test_the_traceback_can_be_seen(folder):
  assert 'Traceback' in jaxdet(folder, 'eval', '--workdir=x', '--debug').stderr
  assert 'Traceback' in jaxdet(folder, 'eval', '--workdir=x', JAXDET_DEBUG='1').stderr


def test_a_checkpoint_that_does_not_fit_shows_a_table_and_ends_in_one_line(folder):
  (folder / 'weights.pkl').write_bytes(pickle.dumps({'model': {'backbone.fpn_lateral2.weight': np.ones(3)}}))
  done = jaxdet(folder, 'import', '--workdir=y', '--from=detectron2', f'--config={CONFIG}:mini', 'weights.pkl')
  assert done.returncode == 2
  assert 'wrong shape      1\n  backbone.fpn_lateral2.weight of shape (3,) for ' in done.stdout
  assert done.stderr.splitlines()[-1].startswith('error: weights.pkl does not fit the model: ')
  assert 'Traceback' not in done.stderr


def test_a_file_that_would_run_code_ends_in_one_line(folder):
  (folder / 'hostile.pkl').write_bytes(b"cos\nsystem\n(S'echo > ran'\ntR.")
  done = jaxdet(folder, 'import', '--workdir=y', '--from=detectron2', f'--config={CONFIG}:mini', 'hostile.pkl')
  assert done.returncode == 2
  assert done.stderr.startswith('error: hostile.pkl names os.system, which a file of weights does not need')
  assert done.stderr.count('\n') == 1 and not (folder / 'ran').exists()


def test_counts_are_printed_and_written_without_a_workdir(folder):
  smaller = {'dir': str(folder / 'few'), 'shapes.images': 8, 'shapes.val_images': 2, 'shapes.categories': 4}
  overrides = [f'--config.data.{key}={value}' for key, value in smaller.items()]
  done = jaxdet(folder, 'counts', f'--config={CONFIG}:mini', *overrides, '--output=counts')
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-1] == '8 images; an epoch of the sampler repeat_factor shows 8'
  counts = np.load(folder / 'counts' / 'num_shots.npy')
  assert len(counts) == 4 and f'with {counts.sum()} objects' in done.stdout
  assert sorted(path.name for path in (folder / 'counts').iterdir()) == [
    'counts.csv',
    'num_shots.json',
    'num_shots.npy',
  ]


def test_no_module_imports_what_is_unwanted(folder, decoys):
  packages = {name: str(REPOSITORY / name) for name in ('jaxdet', 'input_pipeline')}
  without = ('jaxdet.benchmark.torchvision_program', 'input_pipeline.builder')
  code = f"""
import importlib, pkgutil
for name, path in {packages!r}.items():
  for module in pkgutil.walk_packages([path], f'{{name}}.'):
    if module.name not in {without!r}:
      importlib.import_module(module.name)
"""
  environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(decoys), str(REPOSITORY)]), 'JAX_PLATFORMS': 'cpu'}
  done = subprocess.run([sys.executable, '-c', code], env=environment, cwd=folder, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert not (decoys / 'imported').exists(), (decoys / 'imported').read_text()


@pytest.mark.slow
def test_trains_goes_on_evaluates_and_predicts_without_unwanted_imports(folder, decoys):
  """The whole program on a few generated images; one process after the other, as a user would."""
  smaller = {'data.dir': str(folder / 'shapes'), 'data.shapes.images': 16, 'data.shapes.val_images': 4}
  smaller |= {'data.shapes.categories': 5, 'train.batch_size': 2, 'train.log_every': 1, 'eval.batch_size': 2}
  common = ['--workdir=run', f'--config={CONFIG}:mini', *(f'--config.{key}={value}' for key, value in smaller.items())]
  settings = {'JAX_COMPILATION_CACHE_DIR': str(folder / 'cache')}
  settings['PYTHONPATH'] = os.pathsep.join([str(decoys), str(REPOSITORY)])

  trained = jaxdet(folder, *common, '--config.train.steps=2', **settings)
  assert trained.returncode == 0, trained.stderr
  assert 'step 2/2' in trained.stderr
  assert (folder / 'run' / 'metrics.json').exists()
  assert list((folder / 'run' / 'pictures').iterdir())
  assert list((folder / 'cache').iterdir())

  longer = jaxdet(folder, *common, '--config.train.steps=3', **settings)
  assert 'going on from step 2' in longer.stderr
  assert longer.returncode == 0, longer.stderr

  evaluated = jaxdet(folder, 'eval', '--workdir=run', **settings)
  assert evaluated.returncode == 0, evaluated.stderr
  assert evaluated.stdout.splitlines()[-3:] == longer.stdout.splitlines()[-3:]

  picture = next((folder / 'run' / 'pictures').iterdir())
  predicted = jaxdet(folder, 'predict', '--workdir=run', str(picture), '--output=out', **settings)
  assert predicted.returncode == 0, predicted.stderr
  assert (folder / 'out' / 'predictions.json').exists()
  assert not (decoys / 'imported').exists(), (decoys / 'imported').read_text()

  more = jaxdet(
    folder,
    'eval',
    '--workdir=run',
    f'--config={CONFIG}:mini',
    f'--config.data.dir={folder}/shapes9',
    '--config.data.shapes.images=16',
    '--config.data.shapes.val_images=4',
    '--config.data.shapes.categories=9',
  )
  assert more.returncode == 2
  assert '5 categories are never the same as 9: use files with one table' in more.stderr
