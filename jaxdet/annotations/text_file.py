"""Opens text files of data sets: UTF-8, with or without a byte order mark, plain or packed with gzip."""

import contextlib
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO, TextIO

GZIP = b'\x1f\x8b'
PACKED = {b'PK\x03\x04': 'zip', b'BZh': 'bzip2', b'\xfd7zXZ': 'xz', b'(\xb5/\xfd': 'zstd'}  # by first bytes
UTF16 = (b'\xff\xfe', b'\xfe\xff')


@contextlib.contextmanager
def open_text(path: str) -> Iterator[TextIO]:
  """Context with the open file; the first bytes tell whether it is packed, not its name. Line ends are kept.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no regular file, packed in another way than gzip, cut off, or not UTF-8; the message names the
      file and the byte. Also while the context reads.
  """
  if not os.path.exists(path):
    raise FileNotFoundError(f'no file {path}')
  if not os.path.isfile(path):
    raise ValueError(f'{path} is no regular file: name a file')
  with open(path, 'rb') as raw:
    packed = raw.peek(2)[:2] == GZIP
    with gzip.open(raw) if packed else contextlib.nullcontext(raw) as unpacked:
      try:
        _check_coding(unpacked, path)
        yield io.TextIOWrapper(unpacked, 'utf-8-sig', newline='')
      except UnicodeDecodeError as error:
        byte = unpacked.tell() - len(error.object) + error.start
        raise ValueError(
          f'{path} is not UTF-8: byte 0x{error.object[error.start]:02x} at {byte}: convert the file to UTF-8'
        ) from error
      except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
          f'{path} ends at byte {raw.tell()} before its gzip data do, or is damaged ({error}): download or pack it anew'
        ) from error


def _check_coding(file: BinaryIO, path: str) -> None:
  """Refuses other compression than gzip, and UTF-16 and UTF-32, by the first bytes."""
  head = file.peek(8)[:8]
  for magic, name in PACKED.items():
    if head.startswith(magic):
      raise ValueError(f'{path} is packed with {name}: unpack it, or pack it with gzip')
  if head.startswith(UTF16) or b'\0' in head[:4]:
    raise ValueError(f'{path} is in UTF-16 or UTF-32: convert the file to UTF-8')
