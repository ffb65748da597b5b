"""Checkpoints of `torch.save`: their weights are read, mmengine's too, and nothing that they name runs."""

import argparse
import os
import sys
import types

import numpy as np
import numpy.testing._private.utils as numpy_test_utils
import pytest

from jaxdet.convert import torch_files

torch = pytest.importorskip('torch')


@pytest.fixture(params=[True, False], ids=['zip', 'before 1.6'])
def save(request, tmp_path):
  def write(content) -> str:
    path = str(tmp_path / 'weights.pth')
    torch.save(content, path, _use_new_zipfile_serialization=request.param)
    return path

  return write


def test_tensors_become_arrays(save):
  shared = torch.arange(6.0)
  content = {
    'float': shared.reshape(2, 3).T,
    'the same again': shared,
    'half': torch.ones(2, dtype=torch.float16),
    'bfloat16': torch.tensor([1.5], dtype=torch.bfloat16),
    'parameter': torch.nn.Parameter(torch.zeros(2)),
    'count': torch.tensor(3),
  }
  read = torch_files.read(save({'state_dict': content, 'meta': {'epoch': 12}}))
  assert read['meta'] == {'epoch': 12}
  read = read['state_dict']
  assert np.array_equal(read['float'], [[0, 3], [1, 4], [2, 5]])
  assert np.array_equal(read['the same again'], np.arange(6))
  assert [read[name].dtype for name in ('half', 'bfloat16', 'parameter')] == ['float16', 'float32', 'float32']
  assert read['bfloat16'] == 1.5 and read['count'].shape == ()


@pytest.mark.parametrize(
  'make, kind',
  [
    (lambda: torch.ones(2).to(torch.float8_e4m3fn), 'torch.float8_e4m3fn'),
    (lambda: torch.eye(2).to_sparse(), 'torch.sparse_coo'),
    (lambda: torch.ones(2, device='meta'), 'on meta'),
  ],
  ids=['float8', 'sparse', 'without numbers'],
)
def test_a_tensor_that_is_no_array_is_named(tmp_path, make, kind):
  path = tmp_path / 'weights.pth'
  torch.save({'state_dict': {'fc.weight': make()}}, path)
  with pytest.raises(ValueError, match=f"weights.pth: 'fc.weight' .*{kind}.* cannot be read as numbers") as error:
    torch_files.read(str(path))
  assert '\n' not in str(error.value)


@pytest.fixture
def history_buffer(monkeypatch):
  """mmengine's log history as it pickles: NumPy arrays, and functions that are methods of the class."""
  module = types.ModuleType('mmengine.logging.history_buffer')

  class HistoryBuffer:
    def __init__(self, log_history):
      self._log_history, self._count_history = np.array(log_history), np.ones(len(log_history), int)
      self._statistics_methods = {'mean': HistoryBuffer.mean}

    def mean(self):
      raise AssertionError('this must not run')

  HistoryBuffer.__module__, HistoryBuffer.__qualname__ = module.__name__, 'HistoryBuffer'
  HistoryBuffer.mean.__module__, HistoryBuffer.mean.__qualname__ = module.__name__, 'HistoryBuffer.mean'
  module.HistoryBuffer = HistoryBuffer
  for name in ('mmengine', 'mmengine.logging', module.__name__):
    monkeypatch.setitem(sys.modules, name, module)
  return HistoryBuffer


def test_a_checkpoint_of_mmengine(save, history_buffer):
  path = save(
    {
      'meta': {'cfg': 'model = ...', 'iter': 7330, 'seed': np.int64(3), 'args': argparse.Namespace(lr=0.02)},
      'message_hub': {'log_scalars': {'train/loss': history_buffer([1.5, 1.25]), 'train/lr': history_buffer([])}},
      'state_dict': {'backbone.conv1.weight': torch.ones(2)},
      'optimizer': {'state': {0: {'momentum_buffer': torch.ones(2)}}},
    }
  )
  for name in [name for name in sys.modules if name.startswith('mmengine')]:
    del sys.modules[name]
  read = torch_files.read(path)
  assert np.array_equal(read['state_dict']['backbone.conv1.weight'], [1, 1])
  assert read['meta']['seed'] == 3
  assert not any(name.startswith('mmengine') for name in sys.modules)


class Calls:
  def __init__(self, function, *arguments):
    self.call = function, arguments

  def __reduce__(self):
    return self.call


HOSTILE = {
  'posix.system': Calls(os.system, 'echo > ran'),
  'eval': Calls(eval, "open('ran', 'w')"),
  'numpy.testing._private.utils.runstring': Calls(numpy_test_utils.runstring, "open('ran', 'w')", {}),
  'numpy.fromfile': Calls(np.fromfile, '/dev/null'),
  'torch.hub.load': Calls(torch.hub.load, 'x', 'y'),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_what_could_run_code_is_refused_by_name(name, save, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = save({'state_dict': {'w': torch.ones(2)}, 'meta': [{'deeper': (HOSTILE[name],)}]})
  with pytest.raises(ValueError, match=f'weights.pth names {name}, which a file of weights does not need'):
    torch_files.read(path)
  assert os.listdir(tmp_path) == ['weights.pth']


class Method(Calls):
  """What pickles as `getattr(..)`, and can stand where a pickle wants a function."""

  def __call__(self):
    pass


def test_an_inert_name_finds_nothing(save, tmp_path, monkeypatch):
  """`getattr` is admitted for mmengine's sake; what it gives is nothing, and cannot be called."""
  monkeypatch.chdir(tmp_path)
  method = Method(getattr, 'os', 'system')
  assert isinstance(torch_files.read(save({'w': torch.ones(2), 'x': method}))['x'], torch_files.Inert)
  with pytest.raises(ValueError, match='unrecognized function'):
    torch_files.read(save({'w': torch.ones(2), 'x': Calls(method, 'echo > ran')}))
  assert os.listdir(tmp_path) == ['weights.pth']


def test_a_whole_module_is_refused(save):
  with pytest.raises(ValueError, match=r'names torch.nn.modules.linear.Linear.*torch.save\(model.state_dict\(\)'):
    torch_files.read(save(torch.nn.Linear(2, 2)))


def test_what_is_no_checkpoint_is_an_error(tmp_path):
  path = tmp_path / 'weights.pth'
  for content in (b'', b'not a checkpoint at all', b'PK\x03\x04 cut off'):
    path.write_bytes(content)
    with pytest.raises(ValueError, match='weights.pth is no checkpoint that PyTorch reads'):
      torch_files.read(str(path))


def test_torchscript_is_refused_without_advice_to_trust_it(tmp_path):
  path = str(tmp_path / 'weights.pt')
  torch.jit.script(torch.nn.Linear(2, 2)).save(path)
  with pytest.raises(ValueError, match='weights.pt is no checkpoint .*TorchScript') as error:
    torch_files.read(path)
  assert 'weights_only=False' not in str(error.value) and 'weights_only` to' not in str(error.value)
  assert '\n' not in str(error.value)


def test_what_is_written_is_read_by_torch(tmp_path):
  path = str(tmp_path / 'weights.pth')
  state = {'w': np.arange(6, dtype=np.float32).reshape(2, 3), 'n': np.zeros((), np.int64)}
  torch_files.write(path, state)
  read = torch.load(path, weights_only=True)
  assert read['w'].shape == (2, 3) and read['n'].dtype == torch.int64 and read['n'].shape == ()
  assert np.array_equal(torch_files.read(path)['w'], state['w'])
