"""Weights in several files are those that their index names, each from its own file."""

import json

import numpy as np
import pytest

from jaxdet.convert.state_files import read_state, write_state

PARTS = {
  'model-00001-of-00002.safetensors': {'a': np.ones(2, np.float32)},
  'model-00002-of-00002.safetensors': {'b': np.zeros(3)},
}
PLACES = {'a': 'model-00001-of-00002.safetensors', 'b': 'model-00002-of-00002.safetensors'}


def index(folder, places, parts=PARTS) -> str:
  for name, state in parts.items():
    write_state(str(folder / name), state)
  path = folder / 'model.safetensors.index.json'
  path.write_text(json.dumps({'metadata': {'total_size': 32}, 'weight_map': places}))
  return str(path)


def test_all_files_of_an_index_are_read(tmp_path):
  read = read_state(index(tmp_path, PLACES))
  assert read.keys() == {'a', 'b'} and read['a'].tolist() == [1, 1] and read['b'].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
  'places, message',
  [
    (PLACES | {'b': 'model-00001-of-00002.safetensors'}, "'b' is not in model-00001-of-00002.safetensors"),
    (PLACES | {'c': 'model-00002-of-00002.safetensors'}, "'c' is not in model-00002-of-00002.safetensors"),
    (PLACES | {'b': '../model.safetensors'}, "names '../model.safetensors': files of weights lie beside their index"),
    (PLACES | {'b': 'model.safetensors.index.json'}, "names 'model.safetensors.index.json'"),
    (PLACES | {'b': 3}, "'weight_map' does not name a file for each array"),
    ([], "'weight_map' does not name a file for each array"),
  ],
)
def test_an_index_that_does_not_fit_its_files(tmp_path, places, message):
  with pytest.raises(ValueError, match=f'model.safetensors.index.json.*{message}'):
    read_state(index(tmp_path, places))


def test_an_array_in_two_files_is_refused(tmp_path):
  parts = PARTS | {'model-00002-of-00002.safetensors': {'a': np.zeros(2), 'b': np.zeros(3)}}
  with pytest.raises(ValueError, match="both model-00001-of-00002.* and model-00002-of-00002.* have 'a'"):
    read_state(index(tmp_path, PLACES, parts))


def test_a_missing_file_is_named(tmp_path):
  path = index(tmp_path, PLACES)
  (tmp_path / 'model-00002-of-00002.safetensors').unlink()
  with pytest.raises(FileNotFoundError, match='there is no file .*model-00002-of-00002.safetensors'):
    read_state(path)


def test_what_is_no_index(tmp_path):
  path = tmp_path / 'model.safetensors.index.json'
  for content in ('', '{', '[1]', '{"weights": {}}'):
    path.write_text(content)
    with pytest.raises(ValueError, match='model.safetensors.index.json is no index of weights'):
      read_state(str(path))
  with pytest.raises(ValueError, match='written into one file'):
    write_state(str(path), {'a': np.ones(1)})
