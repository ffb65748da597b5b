"""Streams the entries of one list of a large JSON file, without the rest of it in memory."""

import gzip
import zlib
from collections.abc import Iterator

import ijson


def items(path: str, name: str) -> Iterator[dict]:
  """Yields the entries of the list `name` at the file's top level; the file may be packed with gzip.

  Raises:
    ValueError: the file is cut off or is not JSON; the message has its name and the byte offset.
  """
  with gzip.open(path) if path.endswith('.gz') else open(path, 'rb') as f:
    source = _Source(f)
    try:
      yield from ijson.items(source, f'{name}.item', use_float=True)
    except (ijson.JSONError, EOFError, gzip.BadGzipFile, zlib.error) as error:
      if source.ended or isinstance(error, EOFError):
        what = f'ends at byte {source.end} before its JSON does'
      else:
        what = f'is not valid JSON between bytes {source.start} and {source.end}'
      raise ValueError(f'{path} {what} ({error}): was the download interrupted?') from error


class _Source:
  """File wrapper that knows the position of the last bytes read, for messages."""

  def __init__(self, file):
    self._file = file
    self.start = self.end = 0
    self.ended = False

  def read(self, size: int) -> bytes:
    data = self._file.read(size)
    if data:
      self.start, self.end = self.end, self.end + len(data)
    elif size:
      self.ended = True
    return data
