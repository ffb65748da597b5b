"""Names the files of results by their images: no two alike, none longer than file systems allow."""

import collections
import hashlib
import os
import unicodedata
from collections.abc import Sequence

LONGEST_NAME = 255  # bytes, on nearly all file systems
ROOM = len('_detections.jpg')  # the longest ending that is appended
HASH = 8  # hexadecimal digits that tell shortened names apart


def result_names(paths: Sequence[str]) -> list[str]:
  """Chooses a name for the results of each image: its own without folder and ending, if no other image has it.

  Images of one name get it with their position in `paths` appended. Names that differ in upper and lower case alone
  count as one, since some file systems do not tell them apart. Of a name that is too long the beginning is kept.
  """
  own = [_short(os.path.splitext(os.path.basename(path))[0]) for path in paths]
  times = collections.Counter(map(_key, own))
  taken = set(times)
  names = []
  for index, name in enumerate(own):
    if times[_key(name)] > 1:
      name = _short(f'{name}_{index}')
      while _key(name) in taken:
        name = _short(f'{name}_')
      taken.add(_key(name))
    names.append(name)
  return names


def _short(name: str) -> str:
  """The name, or its beginning and a hash of the whole, if it is too long."""
  if len(os.fsencode(name)) <= LONGEST_NAME - ROOM:
    return name
  end = '~' + hashlib.sha256(os.fsencode(name)).hexdigest()[:HASH]
  while len(os.fsencode(name + end)) > LONGEST_NAME - ROOM:
    name = name[:-1]
  return name + end


def _key(name: str) -> str:
  return unicodedata.normalize('NFC', name).casefold()
