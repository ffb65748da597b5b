"""Reads and writes PyTorch's checkpoint files; PyTorch is imported only then.

They are read with `weights_only=True`, which calls only functions that rebuild tensors. Other content of checkpoints
(mmengine's log history, NumPy numbers, options) is read as inert data.
"""

import pickle
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdet.convert import numpy_pickle


class Inert:
  """Replaces objects that are not weights: accepts their state and drops it."""

  def __new__(cls, *_, **__):
    return super().__new__(cls)

  def __init__(self, *_, **__):
    pass

  def __setstate__(self, state: Any) -> None:
    pass


class _NoArray(ValueError):
  """A tensor that is no array of numbers."""


INERT = (
  'mmengine.logging.history_buffer.HistoryBuffer',
  'mmengine.config.config.ConfigDict',
  'mmengine.config.config.Config',
  'builtins.getattr',  # HistoryBuffer's methods; nothing is looked up
  'argparse.Namespace',
  'pathlib.PosixPath',
  'numpy.dtypes.Float32DType',
  'numpy.dtypes.Float64DType',
  'numpy.dtypes.Int64DType',
)


def read(path: str) -> Any:
  """Reads a file of `torch.save`, with arrays in place of tensors.

  Raises:
    ValueError: the file names something that weights do not need, or cannot be read; none of its code has run.
  """
  torch = _torch(path)
  stand_ins = {name: Inert for name in INERT} | dict(numpy_pickle.NUMPY)
  stand_ins['builtins.bytes'] = numpy_pickle.ADMITTED['__builtin__.bytes']
  try:
    with torch.serialization.safe_globals([(stand_in, name) for name, stand_in in stand_ins.items()]):
      # Only the newer format, a zip archive, can be mapped into memory.
      content = torch.load(path, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(path))
    return numpy_pickle.with_arrays(_to_arrays(content, torch))
  except OSError:
    raise
  except _NoArray as error:
    raise ValueError(f'{path}: {error}') from error
  except Exception as error:  # a broken or hostile file can raise anything
    raise ValueError(_explanation(path, error)) from error


def write(path: str, state: Mapping[str, np.ndarray]) -> None:
  """Writes a state dict for `torch.load(path)`."""
  torch = _torch(path)
  torch.save({name: torch.from_numpy(np.array(array)) for name, array in state.items()}, path)


def _torch(path: str):
  try:
    import torch
  except ImportError as error:
    raise ValueError(f"{path} needs PyTorch: pip install 'jaxdet[torch]', or use .safetensors") from error
  return torch


def _explanation(path: str, error: Exception) -> str:
  refused = re.search(r'GLOBAL (\S+)', str(error)) if isinstance(error, pickle.UnpicklingError) else None
  if refused:
    return (
      f'{path} names {refused[1]}, which a file of weights does not need: it is not read, for it could run code. '
      "Save its state dict alone, torch.save(model.state_dict(), 'weights.pth')"
    )
  # Only the first sentence of PyTorch's long text, which also tells how to read the file unsafely.
  reason = re.search(r'WeightsUnpickler error:\s*(.+)', str(error)) or re.search(r'(.*)', str(error).strip())
  sentence = reason[1].partition('. ')[0]
  return f'{path} is no checkpoint that PyTorch reads as weights ({type(error).__name__}: {sentence})'


def _to_arrays(tree: Any, torch, name: str = '') -> Any:
  """Replaces the tensors of a tree of dicts by arrays; `name` is the key of the tree."""
  if isinstance(tree, Mapping):
    return {key: _to_arrays(value, torch, key) for key, value in tree.items()}
  if not isinstance(tree, torch.Tensor):
    return tree
  try:
    tensor = tree.detach().resolve_conj().resolve_neg()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
  except (TypeError, RuntimeError) as error:  # eight-bit floats, quantised, sparse or empty tensors
    kind = f'{tree.dtype}, {tree.layout}, on {tree.device}'
    raise _NoArray(f"'{name}' ({kind}) cannot be read as numbers: save it as float32") from error
