"""What holds for all tests."""

import pathlib
import sys

import pytest

MAPS = pathlib.Path('/proc/self/maps')  # the process's areas of memory, a line each
MOST_MAPS = 20_000  # Linux gives a process 65,530; a compiled program has several


@pytest.fixture(scope='session', autouse=True)
def own_cache_folder(tmp_path_factory):
  """Programs that tests start keep what they compile, or read, out of the user's home."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
    yield


@pytest.fixture(scope='module', autouse=True)
def few_compiled_programs():
  """Drops compiled programs after a file, before there are so many that XLA cannot map another and crashes."""
  yield
  if 'jax' in sys.modules and MAPS.exists() and len(MAPS.read_bytes().splitlines()) > MOST_MAPS:
    sys.modules['jax'].clear_caches()
