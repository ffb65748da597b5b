"""`.safetensors` files: numbers as they were saved, or one line that names the file and the array."""

import json
import struct

import numpy as np
import pytest

from jaxdet.convert import safetensors_file

VALUES = np.array([[1.5, -2.25, 3e-5], [0.1, 7, -1e4]], np.float32)


def written(path, arrays: dict, change=lambda header: header, cut: int = 0, more: bytes = b'') -> str:
  """A file of {name: (type, bytes, shape)}, with a changed header, without its last bytes, or with more of them."""
  header, content = {'__metadata__': {'format': 'pt'}}, b''
  for name, (dtype, data, shape) in arrays.items():
    header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [len(content), len(content) + len(data)]}
    content += data
  text = json.dumps(change(header)).encode()
  whole = struct.pack('<Q', len(text)) + text + content + more
  path.write_bytes(whole[: len(whole) - cut])
  return str(path)


def bfloat16(values: np.ndarray) -> bytes:
  """Rounds positive and negative numbers to the nearest bfloat16."""
  return ((values.view(np.uint32) + 0x8000) >> 16).astype('<u2').tobytes()


@pytest.mark.parametrize('dtype, kind', [('F16', '<f2'), ('F32', '<f4'), ('F64', '<f8'), ('I64', '<i8'), ('U8', 'u1')])
def test_numbers_are_those_that_were_saved(tmp_path, dtype, kind):
  values = np.abs(VALUES).astype(kind)
  path = written(tmp_path / 'w.safetensors', {'a': (dtype, values.tobytes(), [2, 3])})
  read = safetensors_file.read_arrays(path)['a']
  assert read.dtype == values.dtype and np.array_equal(read, values)


def test_bfloat16_becomes_float32_without_a_change(tmp_path):
  saved = np.array([1.5, -2.25, 0.10009765625, -9984.0, np.inf], np.float32)  # all are bfloat16 numbers
  path = written(
    tmp_path / 'w.safetensors', {'a': ('BF16', bfloat16(saved), [5]), 'b': ('BF16', bfloat16(VALUES), [2, 3])}
  )
  read = safetensors_file.read_arrays(path)
  assert read['a'].dtype == np.float32 and np.array_equal(read['a'], saved)
  np.testing.assert_allclose(read['b'], VALUES, rtol=2**-8)


def test_arrays_without_axes_or_elements_and_at_odd_places(tmp_path):
  arrays = {
    'flag': ('BOOL', b'\x01', [1]),
    'count': ('I64', np.int64(7).tobytes(), []),  # begins at an odd byte
    'none': ('F32', b'', [0, 3]),
    'last': ('F32', np.float32(2.5).tobytes(), [1, 1]),
  }
  read = safetensors_file.read_arrays(written(tmp_path / 'w.safetensors', arrays))
  assert read['flag'].tolist() == [True] and read['count'] == 7 and read['count'].shape == ()
  assert read['none'].shape == (0, 3) and read['last'].tolist() == [[2.5]]
  read['last'][0, 0] = 3  # arrays can be written to


def test_the_format_is_that_of_the_package(tmp_path):
  numpy = pytest.importorskip('safetensors.numpy')
  state = {'a': VALUES, 'n': np.array(3, np.int64), 'h': VALUES.astype(np.float16)}
  numpy.save_file(state, tmp_path / 'w.safetensors', metadata={'about': 'text'})
  read = safetensors_file.read_arrays(str(tmp_path / 'w.safetensors'))
  assert read.keys() == state.keys()
  assert all(np.array_equal(read[name], state[name]) and read[name].dtype == state[name].dtype for name in state)
  assert safetensors_file.read_texts(str(tmp_path / 'w.safetensors')) == {'about': 'text'}


FLOAT8 = {'w': ('F8_E4M3', b'\x00' * 6, [2, 3])}
GOOD = {'w': ('F32', VALUES.tobytes(), [2, 3]), 'v': ('F32', VALUES.tobytes(), [6])}


def with_entry(**changes):
  """Changes the entry 'w' of a header."""
  return lambda header: header | {'w': {**header['w'], **changes}}


@pytest.mark.parametrize(
  'arrays, how, message',
  [
    (FLOAT8, {}, "'w' has the type 'F8_E4M3', which is not read"),
    (GOOD, {'cut': 5}, 'is cut off: .*states 48 bytes of arrays, and there are 43'),
    (GOOD, {'more': b'abc'}, 'has bytes of no array .*48 bytes of arrays, and there are 51'),
    (GOOD, {'change': with_entry(shape=[2, 4])}, r"'w', F32 of shape \[2, 4\], does not fill its bytes 0 to 24"),
    (GOOD, {'change': with_entry(shape=[-2, -3])}, "'w' has a shape .* that are no sizes"),
    (GOOD, {'change': with_entry(shape=[2.0, 3])}, "'w' has a shape .* that are no sizes"),
    (GOOD, {'change': with_entry(data_offsets=[24, 48])}, 'begins at byte 24, where 0 is the next free one'),
    (GOOD, {'change': with_entry(data_offsets=[0])}, "'w' has no dtype, shape and two data_offsets"),
    (GOOD, {'change': with_entry(dtype=['F32'])}, r"'w' has the type \['F32'\]"),
    (GOOD, {'change': lambda header: header | {'w': 3}}, "'w' has no dtype, shape and two data_offsets, but 3"),
    (GOOD, {'change': lambda header: [header]}, 'its header is a list'),
  ],
)
def test_a_file_that_contradicts_itself_is_one_line(tmp_path, arrays, how, message):
  path = written(tmp_path / 'w.safetensors', arrays, **how)
  with pytest.raises(ValueError, match=f'w.safetensors.*{message}') as error:
    safetensors_file.read_arrays(path)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'content, message',
  [
    (b'\x08', 'states a header of 8 bytes, and has 1 in all'),
    (struct.pack('<Q', 1000) + b'{"a": 1', 'states a header of 1000 bytes, and has 15 in all'),
    (struct.pack('<Q', 2**63) + b'{}', 'states a header of 9223372036854775808 bytes'),
    (struct.pack('<Q', 2) + b'{x', 'its header is not valid JSON'),
    (struct.pack('<Q', 2) + b'\xff\xff', 'its header is not valid JSON'),
    (struct.pack('<Q', 16) + b'{"a": 1, "a": 2}', "its header is not valid JSON .*'a' stands in it twice"),
    (struct.pack('<Q', 200_000) + b'[' * 200_000, 'its header is not valid JSON'),
  ],
)
def test_a_header_that_is_none(tmp_path, content, message):
  (tmp_path / 'w.safetensors').write_bytes(content)
  with pytest.raises(ValueError, match=f'w.safetensors.*{message}'):
    safetensors_file.read_arrays(str(tmp_path / 'w.safetensors'))
