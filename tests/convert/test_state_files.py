"""Weights by name from every kind of file and nesting, and back."""

import logging
import os
import pickle

import numpy as np
import pytest

from jaxdet.convert.state_files import read_content, read_header, read_state, write_state

STATE = {'conv.weight': np.arange(8, dtype=np.float32).reshape(2, 4), 'n': np.array(3, np.int64)}


def pickled(tmp_path, content) -> str:
  path = tmp_path / 'weights.pkl'
  path.write_bytes(pickle.dumps(content))
  return str(path)


def assert_same(read, state=STATE):
  assert read.keys() == state.keys()
  for name, array in state.items():
    assert np.array_equal(read[name], array) and read[name].shape == array.shape


@pytest.mark.parametrize('suffix', ['.pkl', '.safetensors', '.pth', '.pt', '.bin', '.PKL'])
def test_what_is_written_is_read(tmp_path, suffix):
  if suffix not in ('.pkl', '.PKL', '.safetensors'):
    pytest.importorskip('torch')
  path = str(tmp_path / f'weights{suffix}')
  write_state(path, STATE)
  read = read_state(path)
  assert_same(read)
  assert read['n'].dtype == np.int64


@pytest.mark.parametrize(
  'content',
  [
    STATE,
    {'model': STATE, '__author__': 'Detectron2 Model Zoo'},
    {'blobs': STATE | {'conv.weight_momentum': np.ones(2)}, 'cfg': 'MODEL: ...'},
    {'state_dict': STATE, 'meta': {'epoch': 12}, 'optimizer': {'state': {}}},
    {'model': {'state_dict': STATE}, 'iteration': 3},
    {'module.' + name: array for name, array in STATE.items()},
    {'model': {'module.' + name: array for name, array in STATE.items()}},
    {'module.module.' + name: array for name, array in STATE.items()},
    {'model': {'module._orig_mod.' + name: array for name, array in STATE.items()}},
    {'model': STATE, '__author__': 'third_party', 'matching_heuristics': True},
    {'model': {'type': 'MaskRCNN', 'depth': 50}, 'state_dict': STATE},
    {'model_state_dict': STATE, 'epoch': 3},
  ],
  ids=['bare', 'Detectron2', 'Caffe2', 'mmengine', 'twice', 'DDP', 'DDP in cvpods', 'DDP twice', 'compiled']
  + ['with heuristics', 'with its config', 'of a tutorial'],
)
def test_weights_are_found_among_other_things(tmp_path, content):
  assert_same(read_state(pickled(tmp_path, content)))


def test_a_module_called_module_keeps_its_name(tmp_path):
  state = {'module.w': np.ones(1), 'head.w': np.ones(1)}
  assert_same(read_state(pickled(tmp_path, state)), state)


@pytest.mark.parametrize('suffix', ['.pkl', '.pth'])
def test_names_of_classes_are_read_with_the_weights(tmp_path, suffix):
  content = {'state_dict': STATE, 'meta': {'dataset_meta': {'classes': ('cat', 'dog')}, 'epoch': 12}}
  path = tmp_path / f'weights{suffix}'
  if suffix == '.pkl':
    path.write_bytes(pickle.dumps(content))
  else:
    torch = pytest.importorskip('torch')
    torch.save(content | {'state_dict': {name: torch.from_numpy(array) for name, array in STATE.items()}}, path)
  state, classes = read_content(str(path))
  assert classes == ('cat', 'dog')
  assert_same(state)


def test_weights_at_two_places_are_not_chosen_from(tmp_path):
  other = {name: array + 1 for name, array in STATE.items()}
  with pytest.raises(ValueError, match="weights.pkl has weights below 'state_dict' and below 'model'"):
    read_state(pickled(tmp_path, {'model': STATE, 'state_dict': other}))


def test_two_entries_of_one_name_are_refused(tmp_path):
  with pytest.raises(ValueError, match="weights.pkl has two entries of the name '1'"):
    read_state(pickled(tmp_path, {1: np.ones(2), '1': np.zeros(2)}))


def test_a_name_with_and_without_a_prefix_is_refused(tmp_path):
  state = {'module.a': np.ones(2), 'a': np.zeros(2)}
  with pytest.raises(ValueError, match="weights.pkl has both 'module.a' and 'a'"):
    read_state(pickled(tmp_path, state))
  with pytest.raises(ValueError, match="has both '_orig_mod.a' and 'a'"):
    read_state(pickled(tmp_path, {'module._orig_mod.a': np.ones(2), 'module.a': np.zeros(2)}))


def test_complex_numbers_are_refused(tmp_path):
  with pytest.raises(ValueError, match=r"weights.pkl: 'freqs' has complex numbers \(complex64\)"):
    read_state(pickled(tmp_path, STATE | {'freqs': np.ones(2, np.complex64)}))


def test_averaged_weights_are_never_taken_silently(tmp_path, caplog):
  averaged = {name: array + 1 for name, array in STATE.items()}
  with caplog.at_level(logging.INFO, logger='absl'):
    assert_same(read_state(pickled(tmp_path, {'ema': averaged, 'model': STATE})))
  assert "taken from 'model', not the averaged ones of 'ema'" in caplog.text
  with pytest.raises(ValueError, match="no weights by name.*it has 'ema'.*save them below 'model'"):
    read_state(pickled(tmp_path, {'ema': averaged}))


def test_what_is_no_array_stays_to_be_named(tmp_path):
  read = read_state(pickled(tmp_path, STATE | {'extra_state': None, 'steps': [1, [2]]}))
  assert read.keys() == STATE.keys() | {'extra_state', 'steps'}


def test_a_file_that_names_code_is_refused(tmp_path):
  class Attack:
    def __reduce__(self):
      return os.system, (f'echo > {tmp_path}/ran',)

  with pytest.raises(ValueError, match=r'weights.pkl names posix.system, which a file of weights does not need'):
    read_state(pickled(tmp_path, {'model': STATE, 'x': Attack()}))
  assert os.listdir(tmp_path) == ['weights.pkl']


@pytest.mark.parametrize(
  'name, content, error',
  [
    ('weights.pkl', b'nothing', 'weights.pkl: not a readable pickle'),
    ('weights.pkl', pickle.dumps([1, 2]), 'weights.pkl holds a list, not weights by name'),
    ('weights.pkl', pickle.dumps({}), 'weights.pkl has no weights by name.*it has nothing'),
    ('weights.safetensors', b'nothing at all', 'weights.safetensors is no safetensors file'),
    ('weights.pth', b'', 'weights.pth is empty'),
    ('weights.safetensors', b'', 'weights.safetensors is empty'),
    ('weights.pth', b'\n<!DOCTYPE html><html><body>Sign in</body></html>', 'weights.pth is a web page, not weights'),
    ('weights.pkl', b'<html>404</html>', 'weights.pkl is a web page, not weights'),
    ('weights.safetensors', b'<HTML><HEAD>', 'weights.safetensors is a web page, not weights'),
    ('weights.bin', b'version https://git-lfs.github.com/spec/v1\noid', 'weights.bin is a pointer of Git LFS'),
    ('weights.pkl', b'{"message": "Not Found"}', 'weights.pkl is the error message of a server'),
    ('weights.pkl', b'PK\x03\x04abcdefgh', 'weights.pkl is a zip archive, as torch.save writes'),
    ('weights.pth', b'\x02\x00\x00\x00\x00\x00\x00\x00{}', 'weights.pth begins as a safetensors file'),
    (
      'weights.onnx',
      b'',
      'weights.onnx: weights are in files that end in .pth, .pt, .bin, .pkl, .safetensors, .index.json, not in',
    ),
  ],
)
def test_a_file_that_is_something_else(tmp_path, name, content, error):
  (tmp_path / name).write_bytes(content)
  with pytest.raises(ValueError, match=error):
    read_state(str(tmp_path / name))


def test_a_file_that_is_not_there(tmp_path):
  with pytest.raises(FileNotFoundError, match='there is no file .*none.pth'):
    read_state(str(tmp_path / 'none.pth'))


def test_a_header_of_text(tmp_path):
  path = str(tmp_path / 'deeper' / 'weights.safetensors')
  write_state(path, STATE, {'jaxdet': '{"a": 1}'})
  assert read_header(path) == {'jaxdet': '{"a": 1}'}
