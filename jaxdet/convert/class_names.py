"""Finds the names of a checkpoint's classes, which mmdetection keeps with its weights."""

from collections.abc import Mapping
from typing import Any

KEY = 'classes'  # in upper case before mmdetection 3


def class_names(content: Any, path: str) -> tuple[str, ...] | None:
  """Names of the classes by label, from `meta` (mmdetection 2) or `dataset_meta` (mmengine); None if there are none.

  Args:
    content: of the whole file, as its program saved it.
    path: of the file, for errors.

  Raises:
    ValueError: the list of names holds something else, or two lists differ.
  """
  meta = _below(content, 'meta')
  lists = [_names(place, path) for place in (_below(meta, 'dataset_meta'), meta, _below(content, 'dataset_meta'))]
  found = [names for names in lists if names is not None]
  if any(names != found[0] for names in found):
    raise ValueError(f"{path} has two lists of class names, in 'meta' and in 'dataset_meta', and they differ")
  return found[0] if found else None


def _below(content: Any, key: str) -> Any:
  return content.get(key) if isinstance(content, Mapping) else None


def _names(place: Any, path: str) -> tuple[str, ...] | None:
  if not isinstance(place, Mapping):
    return None
  names = next((value for key, value in place.items() if isinstance(key, str) and key.lower() == KEY), None)
  if names is None:
    return None
  if isinstance(names, str):  # ('cat') is written for ('cat',)
    return (names,)
  if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
    raise ValueError(f'{path}: the class names of its meta data are no list of texts, but {str(names)[:100]}')
  return tuple(names) or None
