"""Checkpoints: what they hold, what is refused, and that a killed run ends as if it had not been killed."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxdet.training import checkpoint, freezing
from jaxdet.training.checkpoint import Checkpoints, Metadata
from jaxdet.training.state import abstract_state, create_state
from toy_detector import ToyDataset, ToyDetector, toy_config

REPOSITORY = pathlib.Path(__file__).parents[2]


def metadata(config=None, num_classes=3, **kwargs) -> Metadata:
  return Metadata(config or toy_config(), ToyDataset(num_classes=num_classes).categories, **kwargs)


def new_state(num_classes=3, key=0, **overrides):
  return create_state(toy_config(**overrides), ToyDetector(num_classes), jax.random.key(key))


def write(folder, state, **kwargs):
  checkpoints = Checkpoints(str(folder), keep=2)
  checkpoints.save(state, metadata(**kwargs))
  checkpoints.close()


def assert_same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_restored_state_is_the_saved_one(tmp_path):
  state = new_state(**{'train.ema_decay': 0.9}).replace(step=np.int32(7))
  write(tmp_path, state)
  checkpoints = Checkpoints(str(tmp_path), keep=2)
  assert checkpoints.latest() == 7
  assert_same(checkpoints.restore(7, like=new_state(key=1, **{'train.ema_decay': 0.9})), state)
  shapes = abstract_state(toy_config(**{'train.ema_decay': 0.9}), ToyDetector())
  assert_same(checkpoints.restore(7, like=shapes), state)


def test_weights_alone_are_nothing_to_go_on_from(tmp_path):
  state = new_state()
  checkpoints = Checkpoints(str(tmp_path), keep=1)
  checkpoints.save_variables({'params': state.params, **state.collections}, metadata())
  checkpoints.close()
  with pytest.raises(ValueError, match='holds weights alone: train in another workdir, with train.init_from='):
    Checkpoints(str(tmp_path), keep=1).restore(0, like=state)


def test_only_the_last_ones_are_kept(tmp_path):
  checkpoints = Checkpoints(str(tmp_path), keep=2)
  for step in (1, 2, 3):
    checkpoints.save(new_state().replace(step=np.int32(step)), metadata())
  checkpoints.close()
  assert sorted(path.name for path in tmp_path.iterdir()) == ['2', '3']


def test_a_checkpoint_knows_config_categories_and_preprocessing(tmp_path):
  config = toy_config(**{'train.steps': 77})
  write(tmp_path, new_state(), config=config, metrics={'segm/AP': 0.25})
  _, loaded = checkpoint.load_for_inference(str(tmp_path))
  assert loaded.config.to_dict() == config.to_dict()
  assert loaded.config.is_locked
  assert loaded.categories == ToyDataset().categories
  assert loaded.metrics == {'segm/AP': 0.25}
  stored = json.loads((tmp_path / '0' / 'metadata' / 'metadata').read_text())
  assert stored['preprocessing']['pixel_std'] == [1.0, 1.0, 1.0]
  assert stored['version']


def test_nothing_is_pickled(tmp_path):
  write(tmp_path, new_state())
  for path in tmp_path.rglob('*'):
    if path.is_file():
      assert not path.read_bytes().startswith((b'\x80\x03', b'\x80\x04', b'\x80\x05')), path


@pytest.mark.parametrize('path', ['', 'checkpoints', 'checkpoints/0'])
def test_variables_for_inference_are_found_from_anywhere(tmp_path, path):
  state = new_state()
  write(tmp_path / 'checkpoints', state)
  variables, _ = checkpoint.load_for_inference(str(tmp_path / path))
  assert_same(variables, {'params': state.params, **state.collections})


def test_variables_for_inference_are_the_averaged_ones(tmp_path):
  state = new_state(**{'train.ema_decay': 0.9})
  state = state.replace(ema_params=jax.tree.map(lambda x: x + 1, state.ema_params))
  write(tmp_path, state)
  variables, _ = checkpoint.load_for_inference(str(tmp_path))
  assert_same(variables, state.variables)
  kernel = variables['params']['network']['conv1']['kernel']
  np.testing.assert_array_equal(kernel, state.params['network']['conv1']['kernel'] + 1)


def test_no_checkpoint_is_a_clear_error(tmp_path):
  with pytest.raises(FileNotFoundError, match=f'no checkpoint in {tmp_path}'):
    checkpoint.load_for_inference(str(tmp_path))


def test_other_class_count_names_the_first_parameter(tmp_path):
  write(tmp_path, new_state(num_classes=3))
  message = r"'params/network/classifier/bias' is \(3,\), in the model it is \(5,\)"
  with pytest.raises(ValueError, match=message):
    Checkpoints(str(tmp_path), keep=2).restore(0, like=new_state(num_classes=5))


def test_averages_on_one_side_only_are_an_error(tmp_path):
  write(tmp_path, new_state())
  with pytest.raises(ValueError, match='another train.ema_decay'):
    Checkpoints(str(tmp_path), keep=2).restore(0, like=new_state(**{'train.ema_decay': 0.9}))


def trainable(state):
  return freezing.trainable(state.params, ('/stem/',))


def test_init_from_takes_what_agrees_and_tells_the_rest(tmp_path, caplog):
  source = new_state(num_classes=3, key=1)
  write(tmp_path, source)
  target = new_state(num_classes=5, key=2, **{'train.ema_decay': 0.9})
  before = jax.tree.map(np.array, target.params)
  with caplog.at_level('INFO', logger='absl'):
    state = checkpoint.initialize_from(target, str(tmp_path), trainable(target))
  loaded = state.params['network']
  np.testing.assert_array_equal(loaded['conv1']['kernel'], source.params['network']['conv1']['kernel'])
  np.testing.assert_array_equal(loaded['classifier']['kernel'], before['network']['classifier']['kernel'])
  np.testing.assert_array_equal(state.ema_params['network']['conv1']['kernel'], loaded['conv1']['kernel'])
  assert 'loaded 8 of 10 arrays' in caplog.text
  assert 'not loaded: params/network/classifier/kernel (11, 5): there (11, 3)' in caplog.text


def test_init_from_may_leave_arrays_to_begin_anew(tmp_path):
  source, target = new_state(key=1), new_state(key=2)
  write(tmp_path, source)
  before = jax.tree.map(np.array, target.params['network'])
  state = checkpoint.initialize_from(target, str(tmp_path), trainable(target), ('params/*/classifier/*',))
  loaded = state.params['network']
  np.testing.assert_array_equal(loaded['classifier']['kernel'], before['classifier']['kernel'])
  np.testing.assert_array_equal(loaded['conv1']['kernel'], source.params['network']['conv1']['kernel'])


def test_what_training_does_not_change_must_be_there(tmp_path):
  write(tmp_path, new_state(num_classes=3))
  target = new_state(num_classes=5)
  fixed = jax.tree.map(lambda _: False, target.params)
  with pytest.raises(ValueError, match=r'2 arrays .* would stay random: params/network/classifier/bias \(5,\): there'):
    checkpoint.initialize_from(target, str(tmp_path), fixed)


def test_init_from_something_else_is_an_error(tmp_path):
  write(tmp_path, new_state())
  state = new_state()
  stranger = state.replace(params={'other': state.params['network']}, constants={}, batch_stats={})
  with pytest.raises(ValueError, match='no parameter of .* has a name and shape of this model'):
    checkpoint.initialize_from(stranger, str(tmp_path), jax.tree.map(lambda _: True, stranger.params))


def test_converted_variables_are_a_checkpoint(tmp_path):
  state = new_state()
  checkpoints = Checkpoints(str(tmp_path), keep=1)
  checkpoints.save_variables({'params': state.params, **state.collections}, metadata())
  checkpoints.close()
  variables, _ = checkpoint.load_for_inference(str(tmp_path))
  assert_same(variables['params'], state.params)


def test_incomplete_checkpoints_are_ignored(tmp_path):
  write(tmp_path, new_state().replace(step=np.int32(10)))
  shutil.copytree(tmp_path / '10', tmp_path / '20.orbax-checkpoint-tmp')
  shutil.copytree(tmp_path / '10', tmp_path / '30')
  (tmp_path / '30' / '_CHECKPOINT_METADATA').unlink()
  assert Checkpoints(str(tmp_path), keep=2).latest() == 10


def run(script: str, *arguments: str) -> subprocess.CompletedProcess:
  folders = (REPOSITORY, REPOSITORY / 'tests', REPOSITORY / 'tests' / 'training')
  environment = {**os.environ, 'PYTHONPATH': ':'.join(map(str, folders)), 'JAX_PLATFORMS': 'cpu'}
  command = [sys.executable, *(['-c', script] if '\n' in script else [script]), *arguments]
  return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


KILLED_WHILE_SAVING = """
import os, signal, sys, jax, numpy as np
from test_checkpoint import Checkpoints, metadata, new_state
checkpoints = Checkpoints(sys.argv[1], keep=2)
checkpoints.save(new_state().replace(step=np.int32(10)), metadata())
checkpoints.wait()
big = new_state().replace(step=np.int32(20))
big = big.replace(constants={'big': jax.random.normal(jax.random.key(0), (4000, 4000))})
checkpoints.save(big, metadata())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_while_saving_leaves_the_one_before(tmp_path):
  done = run(
    f'import sys; sys.path.insert(0, {str(REPOSITORY / "tests/training")!r})\n' + KILLED_WHILE_SAVING, tmp_path
  )
  assert done.returncode == -signal.SIGKILL, done.stderr
  assert any('tmp' in path.name for path in tmp_path.iterdir())
  checkpoints = Checkpoints(str(tmp_path), keep=2)
  assert checkpoints.latest() == 10
  assert_same(checkpoints.restore(10, like=new_state(key=1)).params, new_state().params)


def losses(workdir) -> dict[int, float]:
  rows = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  assert len({row['step'] for row in rows}) == len(rows)
  return {row['step']: (row['total_loss'], row['grad_norm']) for row in rows}


def test_a_killed_run_goes_on_to_the_last_bit(tmp_path):
  toy = str(REPOSITORY / 'tests' / 'toy_detector.py')
  overrides = {'train.ema_decay': 0.9, 'train.accumulate': 2}
  whole, killed = tmp_path / 'whole', tmp_path / 'killed'
  assert run(toy, str(whole), json.dumps(overrides)).returncode == 0
  first = run(toy, str(killed), json.dumps({**overrides, 'stop': (13, 'kill')}))
  assert first.returncode == -signal.SIGKILL, first.stderr
  second = run(toy, str(killed), json.dumps(overrides))
  assert second.returncode == 0, second.stderr
  assert 'going on from step 10' in second.stderr
  assert losses(killed) == losses(whole)
  assert len(losses(whole)) == 20
  assert_same(checkpoint.load_for_inference(str(killed))[0], checkpoint.load_for_inference(str(whole))[0])
