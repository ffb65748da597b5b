"""Encodes and decodes tf.train.Example, without TensorFlow and without a Python object per number.

The message is a map from names to lists of one of three kinds. In protocol buffers' wire format:

  Example  = field 1: Features
  Features = field 1, repeated: entry of (field 1: name, field 2: Feature)
  Feature  = field 1: BytesList | field 2: FloatList | field 3: Int64List
  BytesList = field 1, repeated; FloatList, Int64List = field 1, packed

All fields are length-delimited, packed floats are little-endian float32: a NumPy array's own bytes.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jaxdet.protocol_buffers import delimited, varint

Value = Sequence[bytes] | np.ndarray

BYTES, FLOATS, INTS = 1, 2, 3


def encode(features: Mapping[str, Value]) -> bytes:
  """Serializes a tf.train.Example.

  Args:
    features: by name a list of bytes, or an array of floats (stored as float32) or integers (stored as int64); arrays
      are flattened.
  """
  entries = []
  for name, value in features.items():
    entry = delimited(1, name.encode()) + delimited(2, _encode_feature(value))
    entries.append(delimited(1, entry))
  return delimited(1, b''.join(entries))


def decode(record: bytes) -> dict[str, Value]:
  """Parses the features of a serialized tf.train.Example: lists of bytes, float32 and int64 arrays [values].

  Raises:
    ValueError: `record` is not a tf.train.Example, or is cut off.
  """
  features = {}
  data = memoryview(record)
  for _, body in _fields(data):
    for _, entry in _fields(body):
      (_, name), (_, feature) = _fields(entry)
      features[bytes(name).decode()] = _decode_feature(feature)
  return features


def _encode_feature(value: Value) -> bytes:
  if not isinstance(value, np.ndarray):
    return delimited(BYTES, b''.join(delimited(1, item) for item in value))
  if np.issubdtype(value.dtype, np.floating):
    return delimited(FLOATS, delimited(1, value.astype('<f4').tobytes()))
  if np.issubdtype(value.dtype, np.integer):
    return delimited(INTS, delimited(1, b''.join(map(varint, value.ravel().tolist()))))
  raise TypeError(f'arrays of {value.dtype} have no place in a tf.train.Example')


def _decode_feature(feature: memoryview) -> Value:
  kind, body = next(_fields(feature))
  if kind == BYTES:
    return [bytes(item) for _, item in _fields(body)]
  packed = b''.join(item for _, item in _fields(body))
  return np.frombuffer(packed, '<f4') if kind == FLOATS else _varints(packed)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
  """Yields (number, payload) of each length-delimited field."""
  position = 0
  while position < len(data):
    tag = data[position]
    if tag & 7 != 2:
      raise ValueError(f'not a tf.train.Example: wire type {tag & 7} where 2 is expected')
    length, start = _read_varint(data, position + 1)
    position = start + length
    if position > len(data):
      raise ValueError(f'tf.train.Example is cut off: a field ends at byte {position} of {len(data)}')
    yield tag >> 3, data[start:position]


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
  """Reads a varint; returns (number, position after it)."""
  number = shift = 0
  while True:
    if position >= len(data):
      raise ValueError('tf.train.Example is cut off inside a number')
    group = data[position]
    number |= (group & 0x7F) << shift
    shift, position = shift + 7, position + 1
    if group < 0x80:
      return number, position


def _varints(packed: bytes) -> np.ndarray:
  """Decodes consecutive varints to int64 [count]."""
  groups = np.frombuffer(packed, np.uint8)
  ends = np.flatnonzero(groups < 0x80)
  if not len(ends):
    return np.zeros(0, np.int64)
  starts = np.concatenate([[0], ends[:-1] + 1])
  shifts = 7 * (np.arange(len(groups)) - np.repeat(starts, ends - starts + 1))
  parts = (groups & 0x7F).astype(np.uint64) << shifts.astype(np.uint64)
  return np.bitwise_or.reduceat(parts, starts).astype(np.int64)
