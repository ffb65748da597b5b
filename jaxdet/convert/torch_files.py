"""PyTorch's checkpoint files in and out; PyTorch is imported when one is met.

They are read with `weights_only=True`, which calls nothing but what rebuilds tensors. What the checkpoints of
training programs hold besides (mmengine's log history, NumPy numbers, options) is read as inert data.
"""

import pickle
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdet.convert import numpy_pickle


class Inert:
  """What stands for an object that says nothing about weights: it takes its state, and forgets it."""

  def __new__(cls, *_, **__):
    return super().__new__(cls)

  def __init__(self, *_, **__):
    pass

  def __setstate__(self, state: Any) -> None:
    pass


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
  """The content of a file of `torch.save`, with arrays in the place of tensors.

  Raises:
    ValueError: it names something that is not needed to hold weights, or cannot be read; nothing of it has run.
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
  except Exception as error:  # whatever a broken or hostile file leads to
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
  # Of PyTorch's long text the reason alone; it also tells how to read the file unsafely.
  reason = re.search(r'WeightsUnpickler error:\s*(.+)', str(error)) or re.search(r'(.*)', str(error).strip())
  return f'{path} is no checkpoint that PyTorch reads as weights ({type(error).__name__}: {reason[1]})'


def _to_arrays(tree: Any, torch) -> Any:
  if isinstance(tree, Mapping):
    return {key: _to_arrays(value, torch) for key, value in tree.items()}
  if not isinstance(tree, torch.Tensor):
    return tree
  tensor = tree.detach()
  return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
