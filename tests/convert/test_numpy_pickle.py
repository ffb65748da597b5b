"""Pickled arrays come through, of every protocol and of Python 2; whatever could run code does not."""

import collections
import io
import os
import pickle

import numpy as np
import numpy.testing._private.utils as numpy_test_utils
import pytest

from jaxdet.convert import numpy_pickle

# As Python 2.7 writes {'conv1_w': array([1.5, -2.0], float32)} in protocol 2: names and contents are its str.
PYTHON2 = (
  b'\x80\x02}q\x00U\x07conv1_wq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b'
  b'\x87Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff'
  b'\xff\xff\xffK\x00tb\x89U\x08' + np.float32([1.5, -2.0]).tobytes() + b'tbs.'
)


def load(content: bytes):
  return numpy_pickle.load(io.BytesIO(content))


@pytest.mark.parametrize('protocol', range(6))
def test_arrays_and_numbers_come_back(protocol):
  tree = {
    'float32': np.arange(6, dtype=np.float32).reshape(2, 3),
    'columns first': np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    'big endian': np.arange(3, dtype='>i4'),
    'bool': np.array([True, False]),
    'half': np.float16([1, 2]),
    'no elements': np.zeros((0, 3)),
    'no axes': np.array(3),
    'scalar': np.float32(0.1),
    'text': np.array(['ab', 'c']),
  }
  read = load(pickle.dumps(tree, protocol))
  assert read.keys() == tree.keys()
  for name, value in tree.items():
    assert np.array_equal(read[name], value) and np.shape(read[name]) == np.shape(value), name
    assert read[name].dtype == value.dtype, name
  read['float32'][0, 0] = 7  # arrays can be written to


@pytest.mark.parametrize('protocol', range(6))
def test_containers_come_back(protocol):
  tree = {'a': [1, (2.5, None)], 'b': collections.OrderedDict(c=b'\xff', d='text'), 'e': b''}
  assert load(pickle.dumps(tree, protocol)) == tree


def test_a_pickle_of_python_2():
  assert np.array_equal(load(PYTHON2)['conv1_w'], np.float32([1.5, -2.0]))


class Calls:
  """What pickles as a call of `function`."""

  def __init__(self, function, *arguments):
    self.call = function, arguments

  def __reduce__(self):
    return self.call


HOSTILE = {
  'posix.system': (os.system, 'echo > ran'),
  'builtins.eval': (eval, "open('ran', 'w')"),
  'builtins.getattr': (getattr, 'os', 'system'),
  'numpy.testing._private.utils.runstring': (numpy_test_utils.runstring, "open('ran', 'w')", {}),
  'numpy.fromfile': (np.fromfile, '/dev/null'),
}


@pytest.mark.parametrize('protocol', [0, 2, 5])
@pytest.mark.parametrize('name', HOSTILE)
def test_a_pickle_that_calls_anything_else_is_refused_by_name(name, protocol, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  pickled = pickle.dumps({'model': {'w': np.ones(2), 'deeper': [(Calls(*HOSTILE[name]),)]}}, protocol)
  with pytest.raises(numpy_pickle.RefusedGlobal) as refused:
    load(pickled)
  assert str(refused.value).replace('__builtin__', 'builtins') == name
  assert not os.listdir(tmp_path)


def test_numpys_own_unpickling_has_no_part():
  """A record type may say of itself that it holds no objects, and NumPy would take the bytes for pointers."""
  record = np.dtype([('pointer', object)])
  for array in (np.array([{}]), np.zeros(1, record)):
    with pytest.raises(ValueError, match='only numbers and text are read'):
      load(pickle.dumps(array))


def test_an_array_longer_than_its_bytes_is_an_error():
  with pytest.raises(ValueError, match='cannot reshape'):
    load(PYTHON2.replace(b'K\x01K\x02\x85', b'K\x01K\x09\x85'))


def test_what_is_no_pickle_is_an_error():
  for content in (b'', b'PK\x03\x04', PYTHON2[:-20]):
    with pytest.raises(ValueError, match='not a readable pickle'):
      load(content)
