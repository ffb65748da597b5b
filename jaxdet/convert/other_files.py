"""Recognises files that only look like weights by their name: empty ones, web pages, pointers, other formats."""

from typing import NamedTuple

HEAD = 512  # bytes that are looked at
OF_A_ZIP = b'PK\x03\x04'  # `torch.save` since 1.6 writes a zip archive


class _Kind(NamedTuple):
  begins: tuple[bytes, ...]  # in lower case, after blanks
  what: str


KINDS = (
  _Kind((b'<!doctype', b'<html', b'<?xml', b'<head'), 'is a web page, not weights: download the file itself'),
  _Kind((b'version https://git-lfs.github.com',), 'is a pointer of Git LFS, not the weights: run git lfs pull'),
  _Kind((b'{"message"', b'{"error"'), 'is the error message of a server, not weights: download the file again'),
)


def check_first_bytes(path: str, suffix: str) -> None:
  """Raises ValueError if a file begins as no file of weights with this suffix does; the message says what it is."""
  with open(path, 'rb') as file:
    head = file.read(HEAD)
  if not head:
    raise ValueError(f'{path} is empty: download it again')
  text = head.removeprefix(b'\xef\xbb\xbf').lstrip().lower()
  for kind in KINDS:
    if text.startswith(kind.begins):
      raise ValueError(f'{path} {kind.what}')
  if head.startswith(OF_A_ZIP) and suffix in ('.pkl', '.safetensors'):
    raise ValueError(f"{path} is a zip archive, as torch.save writes, and no '{suffix}': name it .pth")
  if suffix != '.safetensors' and head[8:9] == b'{' and int.from_bytes(head[:8], 'little') < 2**32:
    raise ValueError(f"{path} begins as a safetensors file, and not as a '{suffix}': name it .safetensors")
