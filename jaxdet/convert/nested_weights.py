"""Finds the weights among the other content of a checkpoint, and takes wrappers' prefixes off their names."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

State = dict[str, np.ndarray]

# Keys of the weights in checkpoints of mmengine, Detectron2 and cvpods, Caffe2, and of other training programs.
KEYS = ('state_dict', 'model', 'blobs', 'model_state_dict', 'model_state', 'module', 'net')
AVERAGED = ('ema', 'model_ema', 'ema_state_dict', 'state_dict_ema')  # averaged weights, which are never read
WRAPPERS = ('module.', '_orig_mod.')  # prefixes of PyTorch's DistributedDataParallel and of torch.compile
CAFFE2_OPTIMIZER = '_momentum'


def find_weights(content: Any, path: str) -> State:
  """Finds the weights in the content of a checkpoint.

  Args:
    content: a tree of dicts with arrays in place of tensors.
    path: of the file, for errors.

  Returns:
    Arrays by name without the prefixes of wrappers. Entries that are no arrays (None, an option) are arrays of objects,
    to be reported as unused.

  Raises:
    ValueError: there are no weights, weights at two places, or two of one name.
  """
  if not isinstance(content, Mapping):
    raise ValueError(f'{path} holds a {type(content).__name__}, not weights by name')
  averaged = [key for key in AVERAGED if key in content]
  places = [key for key in KEYS if _holds_weights(content.get(key))]
  if len(places) > 1:
    raise ValueError(f"{path} has weights below '{places[0]}' and below '{places[1]}': save those to import alone")
  if places:
    if averaged:
      logging.info("%s: weights are taken from '%s', not the averaged ones of '%s'", path, places[0], averaged[0])
    return find_weights(content[places[0]], path)
  if not _holds_weights(content):
    found = ', '.join(f"'{key}'" for key in list(content)[:8]) or 'nothing'
    raise ValueError(
      f"{path} has no weights by name, nor below 'state_dict' or 'model'; it has {found}. "
      "To import averaged weights, save them below 'model'"
    )
  state = {}
  for key, value in content.items():
    name = str(key)
    if name in state:
      raise ValueError(f"{path} has two entries of the name '{name}', as a text and as another key")
    if not name.endswith(CAFFE2_OPTIMIZER):
      state[name] = value if isinstance(value, np.ndarray) else np.array(value, object)
  return _unwrapped(state, path)


def only_numbers(state: State, path: str) -> State:
  """Returns the state; raises ValueError for an array of complex numbers, whose imaginary parts would be lost."""
  for name, array in state.items():
    if array.dtype.kind == 'c':
      raise ValueError(f"{path}: '{name}' has complex numbers ({array.dtype}), which no weights here are")
  return state


def _holds_weights(content: Any) -> bool:
  if not isinstance(content, Mapping):
    return False
  has_arrays = any(isinstance(value, np.ndarray) for value in content.values())
  return has_arrays or any(_holds_weights(content.get(key)) for key in KEYS)


def _unwrapped(state: State, path: str) -> State:
  """Takes off a prefix that all names have, also several ones; raises ValueError for a name with and without it."""
  for wrapper in WRAPPERS:
    if all(name.startswith(wrapper) for name in state):
      return _unwrapped({name.removeprefix(wrapper): array for name, array in state.items()}, path)
    for name in state:
      if name.startswith(wrapper) and (bare := name.removeprefix(wrapper)) in state:
        raise ValueError(
          f"{path} has both '{name}' and '{bare}', one array with and without a wrapper's prefix: save one"
        )
  return state
