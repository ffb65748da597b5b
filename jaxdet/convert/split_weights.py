"""Reads weights that were split into several files, by the index beside them (`model.safetensors.index.json`)."""

import json
import os
from collections.abc import Callable

from jaxdet.convert.nested_weights import State

INDEX = '.index.json'
FILES = 'weight_map'  # key of the index: file names by the names of arrays


def read_index(path: str, read: Callable[[str], State]) -> State:
  """Reads the arrays of an index from the files that it names.

  Args:
    path: of the index; its files lie in the same folder.
    read: reads one of them.

  Raises:
    FileNotFoundError: a file is missing.
    ValueError: the index is broken or leads out of its folder, or an array is not in its file, or in two of them.
  """
  files = _files(path)
  state, place = {}, {}
  for name in sorted(set(files.values())):
    part = read(os.path.join(os.path.dirname(path), name))
    if twice := sorted(part.keys() & state.keys()):
      raise ValueError(f"{path}: both {place[twice[0]]} and {name} have '{twice[0]}'")
    state |= part
    place |= dict.fromkeys(part, name)
  for array, name in files.items():
    if place.get(array) != name:
      raise ValueError(f"{path}: '{array}' is not in {name}: are index and files of one download?")
  return state


def _files(path: str) -> dict[str, str]:
  """File name of every array."""
  try:
    with open(path, encoding='utf-8') as file:
      files = json.load(file)[FILES]
  except (ValueError, KeyError, TypeError, RecursionError) as error:
    raise ValueError(f"{path} is no index of weights, JSON with a '{FILES}' ({error})") from error
  if not isinstance(files, dict) or not files or not all(isinstance(name, str) for name in files.values()):
    raise ValueError(f"{path}: '{FILES}' does not name a file for each array")
  for name in files.values():
    if os.path.basename(name) != name or name.endswith(INDEX):
      raise ValueError(f"{path} names '{name}': files of weights lie beside their index")
  return files
