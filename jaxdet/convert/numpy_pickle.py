"""Reads pickles of arrays without running anything that they name.

A pickle is a program: it names functions and calls them. Here the few names that a pickled array needs are mapped to
the small classes below, in plain Python, and every other name is refused. NumPy's own unpickling is not used either,
since it trusts a pickle's description of an array's type and memory.
"""

import collections
import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

NUMBER_OR_TEXT = re.compile(r'[<>|=]?[?biufcSU]\d*')  # not objects, and not records, which can contain objects


class RefusedGlobal(ValueError):
  """A pickle names something that no file of weights needs."""


class PickledType:
  """Replaces `numpy.dtype` while a pickle is read."""

  def __init__(self, text: Any, *_):
    if not (isinstance(text, str) and NUMBER_OR_TEXT.fullmatch(text)):
      raise ValueError(f'an array of type {text!r}: only numbers and text are read')
    self.dtype = np.dtype(text)

  def __setstate__(self, state: tuple) -> None:
    self.dtype = self.dtype.newbyteorder(state[1])  # the rest of the state describes records


class PickledArray:
  """Replaces `numpy.ndarray` while a pickle is read; `value` is the array."""

  value: np.ndarray

  def __setstate__(self, state: tuple) -> None:
    _, shape, kind, in_columns, content = state
    self.value = _from_bytes(content, kind, shape, 'F' if in_columns else 'C')


def _empty(*_) -> PickledArray:
  """Replaces `numpy.core.multiarray._reconstruct`; the array's state is set afterwards."""
  return PickledArray()


def _scalar(kind: PickledType, content: bytes | str) -> Any:
  """Replaces `numpy.core.multiarray.scalar`."""
  return _from_bytes(content, kind, (), 'C')[()]


def _buffer(content: bytes, kind: PickledType, shape: tuple[int, ...], order: str) -> PickledArray:
  """Replaces `numpy.core.numeric._frombuffer`, of pickles of protocol 5."""
  array = PickledArray()
  array.value = _from_bytes(content, kind, shape, order)
  return array


def _from_bytes(content: bytes | str, kind: PickledType, shape: tuple[int, ...], order: str) -> np.ndarray:
  if not isinstance(kind, PickledType):
    raise ValueError('an array without a type')
  if isinstance(content, str):  # Python 2's bytes
    content = content.encode('latin1')
  # A bytearray makes the array writable.
  return np.frombuffer(bytearray(content), kind.dtype).reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
  """Replaces `_codecs.encode`, by which old protocols of Python 3 write bytes."""
  if encoding not in ('latin1', 'latin-1'):
    raise ValueError(f'bytes written as {encoding!r}')
  return text.encode('latin1')


def _no_bytes(*content) -> bytes:
  """Replaces `bytes()`, by which old protocols write empty bytes."""
  if content:
    raise ValueError('bytes made of something')
  return b''


NUMPY: Mapping[str, Callable] = {
  'numpy.dtype': PickledType,
  'numpy.ndarray': PickledArray,
  **{f'numpy.{core}.multiarray._reconstruct': _empty for core in ('core', '_core')},
  **{f'numpy.{core}.multiarray.scalar': _scalar for core in ('core', '_core')},
  **{f'numpy.{core}.numeric._frombuffer': _buffer for core in ('core', '_core')},
}
ADMITTED: Mapping[str, Callable] = {
  **NUMPY,
  '_codecs.encode': _encode,
  '__builtin__.bytes': _no_bytes,
  'collections.OrderedDict': collections.OrderedDict,
}


class _Unpickler(pickle.Unpickler):
  def find_class(self, module: str, name: str) -> Callable:
    if f'{module}.{name}' not in ADMITTED:
      raise RefusedGlobal(f'{module}.{name}')
    return ADMITTED[f'{module}.{name}']


def load(file: BinaryIO) -> Any:
  """Reads a pickle of Python 2 or 3 with plain containers, numbers, text and arrays.

  Raises:
    RefusedGlobal: the pickle names anything else; the message is that name.
    ValueError: it is not a pickle, or a broken one.
  """
  try:
    return with_arrays(_Unpickler(file, encoding='latin1').load())
  except RefusedGlobal:
    raise
  except Exception as error:  # a broken pickle can raise anything
    raise ValueError(f'not a readable pickle ({type(error).__name__}: {error})') from error


def with_arrays(tree: Any) -> Any:
  """Replaces each PickledArray in a tree of dicts, lists and tuples by its array."""
  if isinstance(tree, PickledArray):
    return tree.value
  if isinstance(tree, Mapping):
    return {key: with_arrays(value) for key, value in tree.items()}
  if isinstance(tree, list | tuple):
    return type(tree)(map(with_arrays, tree)) if type(tree) in (list, tuple) else tree
  return tree
