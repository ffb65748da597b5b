"""Reads and writes files of weights as {name: array}, from any program and with any nesting.

| suffix                  | what                                                                  | needs       |
|-------------------------|-----------------------------------------------------------------------|-------------|
| `.pth`, `.pt`, `.bin`   | `torch.save`                                                          | torch       |
| `.pkl`                  | pickled arrays: Detectron2's and Caffe2's model zoos, plain dicts     |             |
| `.safetensors`          | arrays without a program                                              | safetensors |

No code that a file names is run; see `numpy_pickle` and `torch_files`.
"""

import os
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from jaxdet.convert import numpy_pickle, torch_files

State = dict[str, np.ndarray]

TORCH_SUFFIXES = ('.pth', '.pt', '.bin')
SUFFIXES = (*TORCH_SUFFIXES, '.pkl', '.safetensors')

# Keys of the weights in checkpoints of mmengine, Detectron2 and cvpods, Caffe2.
KEYS = ('state_dict', 'model', 'blobs')
AVERAGED = ('ema', 'model_ema', 'ema_state_dict', 'state_dict_ema')  # averaged weights, which are never read
WRAPPER = 'module.'  # prefix of PyTorch's DistributedDataParallel
CAFFE2_OPTIMIZER = '_momentum'


def read_state(path: str) -> State:
  """Reads the weights in a file, by the names of the program that wrote it.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file has another suffix, is broken, has no weights, or names code; the message names the file.
  """
  if not os.path.isfile(path):
    raise FileNotFoundError(f'there is no file {path}')
  suffix = _suffix(path)
  if suffix == '.safetensors':
    return _read_safetensors(path)
  if suffix == '.pkl':
    return _state_dict(_read_pickle(path), path)
  return _state_dict(torch_files.read(path), path)


def write_state(path: str, state: Mapping[str, np.ndarray], header: Mapping[str, str] | None = None) -> None:
  """Writes weights in the format of the path's suffix.

  Args:
    path: a `.pkl` becomes a file of Detectron2's model zoo, {'model': arrays by name, '__author__': 'jaxdet'}.
    state: arrays by name.
    header: text by name, for `.safetensors` only.

  Raises:
    ValueError: for another suffix.
  """
  suffix = _suffix(path)
  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  if suffix == '.safetensors':
    contiguous = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in state.items()}
    _safetensors(path).numpy.save_file(contiguous, path, metadata=dict(header or {}))
  elif suffix == '.pkl':
    with open(path, 'wb') as file:
      pickle.dump({'model': dict(state), '__author__': 'jaxdet'}, file, protocol=4)
  else:
    torch_files.write(path, state)


def read_header(path: str) -> dict[str, str]:
  """Reads the header of a `.safetensors` file, text by name."""
  with _safetensors(path).safe_open(path, framework='numpy') as file:
    return file.metadata() or {}


def _suffix(path: str) -> str:
  suffix = os.path.splitext(path)[1].lower()
  if suffix not in SUFFIXES:
    raise ValueError(f"{path}: weights are in files that end in {', '.join(SUFFIXES)}, not in '{suffix}'")
  return suffix


def _read_pickle(path: str) -> Any:
  try:
    with open(path, 'rb') as file:
      return numpy_pickle.load(file)
  except numpy_pickle.RefusedGlobal as refused:
    raise ValueError(
      f'{path} names {refused}, which a file of weights does not need: it is not read, for it could run code'
    ) from refused
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from error


def _read_safetensors(path: str) -> State:
  safetensors = _safetensors(path)
  try:
    return _unwrapped(safetensors.numpy.load_file(path))
  except safetensors.SafetensorError as error:
    raise ValueError(f'{path} is no safetensors file: {error}') from error


def _safetensors(path: str):
  try:
    import safetensors.numpy
  except ImportError as error:
    raise ValueError(f"{path} needs safetensors: pip install 'jaxdet[convert]'") from error
  return safetensors


def _state_dict(content: Any, path: str) -> State:
  """Finds the weights in the content of a checkpoint."""
  if not isinstance(content, Mapping):
    raise ValueError(f'{path} holds a {type(content).__name__}, not weights by name')
  averaged = [key for key in AVERAGED if key in content]
  for key in KEYS:
    if isinstance(content.get(key), Mapping):
      if averaged:
        logging.info("%s: weights are taken from '%s', not the averaged ones of '%s'", path, key, averaged[0])
      return _state_dict(content[key], path)
  if not any(isinstance(value, np.ndarray) for value in content.values()):
    found = ', '.join(f"'{key}'" for key in list(content)[:8]) or 'nothing'
    raise ValueError(
      f"{path} has no weights by name, nor below 'state_dict' or 'model'; it has {found}. "
      "To import averaged weights, save them below 'model'"
    )
  # Entries that are not arrays (None, an option) stay, to be reported as unused.
  arrays = {
    str(name): value if isinstance(value, np.ndarray) else np.array(value, object) for name, value in content.items()
  }
  return _unwrapped({name: array for name, array in arrays.items() if not name.endswith(CAFFE2_OPTIMIZER)})


def _unwrapped(state: State) -> State:
  wrapped = all(name.startswith(WRAPPER) for name in state)
  return {name.removeprefix(WRAPPER): array for name, array in state.items()} if wrapped else state
