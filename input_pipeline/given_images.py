"""Lists the image files that a user gives to `predict`: files, folders, and text files with a path a line."""

import collections
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from absl import logging

ENDINGS = tuple('.jpg .jpeg .jpe .jfif .mpo .png .apng .bmp .webp .gif .tif .tiff .jp2 .avif .ppm .pgm .pbm'.split())
UTF16 = (b'\xff\xfe', b'\xfe\xff')  # as Windows PowerShell writes lists


class GivenImage(NamedTuple):
  path: str
  named: bool  # by its path; False: found in a folder


def list_images(paths: Sequence[str], output: str) -> tuple[GivenImage, ...]:
  """Lists the image files of `paths`, each once, also if it is given several times.

  A folder is listed with the folders in it, in alphabetical order: names with an ending of ENDINGS, except hidden ones
  and the results in `output`. The log counts what is left out. Links to folders are not followed. A list (`.txt`) is in
  UTF-8, or in UTF-16 with a byte order mark; its relative paths start at the list's folder, its lines may end as on
  Windows, and empty ones and those that begin with # are skipped, unless a file has this name. A file that is named
  need not exist: reading it fails, see predict_images.py.

  Args:
    output: folder of the results.

  Raises:
    FileNotFoundError: none of the named files exists, or a folder or a list has no images; the message names it.
    ValueError: a list is no text, or a folder of images is to get the results.
  """
  given = [image for path in paths for image in _of_path(path, output)]
  named = [image.path for image in given if image.named]
  if named and not any(os.path.exists(image.path) for image in given):
    raise FileNotFoundError(f'{len(named)} images do not exist, the first: {named[0]}')
  once: dict[str, GivenImage] = {}  # by absolute path
  for image in given:
    place = os.path.abspath(image.path)
    first = once.get(place, image)
    once[place] = GivenImage(first.path, first.named or image.named)
  if len(once) < len(given):
    logging.info('%d images are given twice: each is used once', len(given) - len(once))
  return tuple(once.values())


def open_file(path: str) -> BinaryIO:
  """Opens a regular file for reading.

  Raises:
    OSError, ValueError: it cannot be opened; the message names it.
  """
  try:
    kind = os.stat(path).st_mode
  except FileNotFoundError as error:
    missing = f'is a link to {os.readlink(path)}, which does not exist' if os.path.islink(path) else 'does not exist'
    raise FileNotFoundError(f'{path} {missing}') from error
  if not stat.S_ISREG(kind):  # reading a pipe or a device may never end
    raise ValueError(f'{path} is {"a folder" if stat.S_ISDIR(kind) else "a device or a pipe"}, not a file')
  return open(path, 'rb')


def _of_path(path: str, output: str) -> list[GivenImage]:
  if os.path.isdir(path):
    found = [GivenImage(file, named=False) for file in _in_folder(path, output)]
  elif path.lower().endswith('.txt'):
    found = []
    for line in _lines(path):
      file = os.path.join(os.path.dirname(path), line)
      if os.path.isdir(file):
        found += [GivenImage(inside, named=False) for inside in _in_folder(file, output)]
      elif not line.startswith('#') or os.path.lexists(file):
        found.append(GivenImage(file, named=True))
  else:
    found = [GivenImage(path, named=True)]
  if not found:
    raise FileNotFoundError(f'no images in {path}')
  return found


def _in_folder(folder: str, output: str) -> list[str]:
  results = os.path.realpath(output)
  if os.path.realpath(folder) == results:
    raise ValueError(f'the results would lie among the images of {folder}: choose another folder with --output')
  files, ignored = [], collections.Counter()
  for parent, folders, names in os.walk(folder, onerror=_raise):
    kept = []
    for name in folders:
      inside = os.path.join(parent, name)
      if name.startswith('.'):
        ignored['hidden'] += 1
      elif os.path.islink(inside):
        ignored['links to folders'] += 1
      elif os.path.realpath(inside) == results:
        ignored['folder of results'] += 1
      else:
        kept.append(name)
    folders[:] = kept
    for name in names:
      ending = os.path.splitext(name)[1].lower()
      if name.startswith('.'):
        ignored['hidden'] += 1
      elif ending not in ENDINGS:
        ignored[ending or 'without an ending'] += 1
      else:
        files.append(os.path.join(parent, name))
  if ignored:
    listed = ', '.join(f'{count} {what}' for what, count in sorted(ignored.items()))
    logging.info('%s: %d images; left out: %s', folder, len(files), listed)
  return sorted(files)


def _lines(path: str) -> Iterator[str]:
  """Lines of a list that are not empty; bytes that are not UTF-8 stay those of a file's name."""
  with open_file(path) as file:
    content = file.read()
  encoding = 'utf-16' if content.startswith(UTF16) else 'utf-8-sig'
  text = content.decode(encoding, 'surrogateescape' if encoding == 'utf-8-sig' else 'replace')
  for number, line in enumerate(re.split('\r\n|\r|\n', text), 1):
    if '\0' in line:
      raise ValueError(f'line {number} of {path} is no path: the list must be a text file, in UTF-8')
    if line.strip():
      yield line.strip()


def _raise(error: OSError) -> None:
  raise error
