"""What holds for all tests."""

import pytest


@pytest.fixture(scope='session', autouse=True)
def own_cache_folder(tmp_path_factory):
  """Programs that tests start keep what they compile, or read, out of the user's home."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
    yield
