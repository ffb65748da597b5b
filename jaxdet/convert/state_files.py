"""Reads and writes files of weights as {name: array}, from any program and with any nesting.

| suffix                  | what                                                                  | needs       |
|-------------------------|-----------------------------------------------------------------------|-------------|
| `.pth`, `.pt`, `.bin`   | `torch.save`                                                          | torch       |
| `.pkl`                  | pickled arrays: Detectron2's and Caffe2's model zoos, plain dicts     |             |
| `.safetensors`          | arrays without a program                                              |             |
| `.index.json`           | the names of the files of weights that were split, by array           | that of its files |

No code that a file names is run; see `numpy_pickle` and `torch_files`.
"""

import os
import pickle
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxdet.convert import numpy_pickle, safetensors_file, torch_files
from jaxdet.convert.class_names import class_names
from jaxdet.convert.nested_weights import State, find_weights, only_numbers
from jaxdet.convert.other_files import check_first_bytes
from jaxdet.convert.split_weights import INDEX, read_index

TORCH_SUFFIXES = ('.pth', '.pt', '.bin')
SUFFIXES = (*TORCH_SUFFIXES, '.pkl', '.safetensors', INDEX)


class Content(NamedTuple):
  """Content of a file of weights."""

  state: State  # arrays by the names of the program that wrote them
  classes: tuple[str, ...] | None  # names of the classes by label; None: the file does not have them


def read_state(path: str) -> State:
  """Reads the weights in a file, by the names of the program that wrote it; raises as `read_content`."""
  return read_content(path).state


def read_content(path: str) -> Content:
  """Reads the weights in a file, and the names of their classes if it has them, as mmdetection's do.

  bfloat16 becomes float32; all other types of numbers stay.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file has another suffix, is broken, has no weights, or names code; the message names the file.
  """
  if not os.path.isfile(path):
    raise FileNotFoundError(f'there is no file {path}')
  suffix = _suffix(path)
  if suffix == INDEX:
    return Content(read_index(path, read_state), None)
  check_first_bytes(path, suffix)
  if suffix == '.safetensors':
    content = safetensors_file.read_arrays(path)
  elif suffix == '.pkl':
    content = _read_pickle(path)
  else:
    content = torch_files.read(path)
  return Content(only_numbers(find_weights(content, path), path), class_names(content, path))


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
  if suffix == INDEX:
    raise ValueError(f'{path}: weights are written into one file, not split: give a name without {INDEX}')
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
  return safetensors_file.read_texts(path)


def _suffix(path: str) -> str:
  if path.lower().endswith(INDEX):
    return INDEX
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


def _safetensors(path: str):
  try:
    import safetensors.numpy
  except ImportError as error:
    raise ValueError(f"{path} needs safetensors: pip install 'jaxdet[convert]'") from error
  return safetensors
