"""Reads `.safetensors` files: the length of a header, the header in JSON, and the bytes of the arrays.

The file holds no program, and NumPy alone reads it. Every number that the header states is checked against the file
before an array is made.
"""

import json
import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

LENGTH = 8  # bytes of the header's length at the beginning, little endian
MAX_HEADER = 100_000_000  # bytes; the format's own limit
TEXTS = '__metadata__'  # the header's own texts by name, all else are arrays
BFLOAT16 = 'BF16'  # the upper half of a float32, which NumPy does not have
DTYPES = {
  **{f'F{bits}': f'<f{bits // 8}' for bits in (16, 32, 64)},
  **{f'I{bits}': f'<i{bits // 8}' for bits in (8, 16, 32, 64)},
  **{f'U{bits}': f'<u{bits // 8}' for bits in (8, 16, 32, 64)},
  'BOOL': '?',
  BFLOAT16: '<u2',
}


class _Entry(NamedTuple):
  """Place of an array in a file."""

  name: str
  dtype: str
  shape: tuple[int, ...]
  begin: int  # from the first byte after the header
  end: int


def read_arrays(path: str) -> dict[str, np.ndarray]:
  """Reads all arrays by name, bfloat16 as float32.

  Raises:
    ValueError: the file is cut off, contradicts itself, or has an array of another type; the message names the file.
  """
  with open(path, 'rb') as file:
    header, start = _read_header(file, path)
    entries = _checked(
      [_entry(name, about, path) for name, about in header.items() if name != TEXTS], file, start, path
    )
    return {entry.name: _read_array(file, start, entry) for entry in entries}


def read_texts(path: str) -> dict[str, str]:
  """Reads the header's texts by name; raises ValueError as `read_arrays`."""
  with open(path, 'rb') as file:
    texts = _read_header(file, path)[0].get(TEXTS, {})
  if not isinstance(texts, Mapping):
    raise ValueError(f"{path}: '{TEXTS}' of its header is a {type(texts).__name__}, not texts by name")
  return dict(texts)


def _read_header(file: BinaryIO, path: str) -> tuple[dict[str, Any], int]:
  """Returns the header and the position of the first byte after it."""
  size = os.fstat(file.fileno()).st_size
  length = int.from_bytes(file.read(LENGTH), 'little')
  if size < LENGTH or length > min(size - LENGTH, MAX_HEADER):
    raise ValueError(
      f'{path} is no safetensors file, or is cut off: it states a header of {length} bytes, and has {size} in all'
    )
  try:
    header = json.loads(file.read(length).decode(), object_pairs_hook=_without_doubles)
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{path} is no safetensors file: its header is not valid JSON ({error})') from error
  if not isinstance(header, dict):
    raise ValueError(f'{path} is no safetensors file: its header is a {type(header).__name__}, not arrays by name')
  return header, LENGTH + length


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    names = [name for name, _ in pairs]
    raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' stands in it twice")
  return found


def _entry(name: str, about: Any, path: str) -> _Entry:
  """Parses the header's description of an array."""
  try:
    dtype, shape, (begin, end) = about['dtype'], tuple(about['shape']), about['data_offsets']
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(f"{path}: '{name}' has no dtype, shape and two data_offsets, but {str(about)[:100]}") from error
  if not isinstance(dtype, str) or dtype not in DTYPES:
    raise ValueError(
      f"{path}: '{name}' has the type {dtype!r}, which is not read: save it as one of {', '.join(sorted(DTYPES))}"
    )
  if any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
    raise ValueError(f"{path}: '{name}' has a shape {list(shape)} or offsets {[begin, end]} that are no sizes")
  if math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize != end - begin:
    raise ValueError(f"{path}: '{name}', {dtype} of shape {list(shape)}, does not fill its bytes {begin} to {end}")
  return _Entry(name, dtype, shape, begin, end)


def _checked(entries: list[_Entry], file: BinaryIO, start: int, path: str) -> list[_Entry]:
  """Returns the entries in the order of their bytes; raises ValueError unless each byte belongs to one array."""
  ordered = sorted(entries, key=lambda entry: (entry.begin, entry.end))
  held, stated = os.fstat(file.fileno()).st_size - start, 0
  for entry in ordered:
    if entry.begin != stated:
      raise ValueError(f"{path}: '{entry.name}' begins at byte {entry.begin}, where {stated} is the next free one")
    stated = entry.end
  if held != stated:
    problem = 'is cut off: was the download interrupted?' if held < stated else 'has bytes of no array'
    raise ValueError(f'{path} {problem} Its header states {stated} bytes of arrays, and there are {held}')
  return ordered


def _read_array(file: BinaryIO, start: int, entry: _Entry) -> np.ndarray:
  content = np.empty(entry.end - entry.begin, np.uint8)
  file.seek(start + entry.begin)
  file.readinto(content)
  array = content.view(DTYPES[entry.dtype]).reshape(entry.shape)
  if entry.dtype != BFLOAT16:
    return array
  return (array.astype(np.uint32) << 16).view(np.float32)
